import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { describeCause } from '../../../gateway/runtime/log.ts';

const CANARY = 'canary-5Yq';

test('N8: a command that Redis refused is in the log without what it was to write', () => {
  const refused = Object.assign(new Error('OOM command not allowed'), {
    command: { name: 'set', args: ['k', CANARY] },
  });
  const around = new Error('not enqueued', { cause: refused });
  const told = JSON.stringify(describeCause(around));
  expect(told).toContain('OOM command not allowed');
  expect(told).toContain('not enqueued');
  expect(told).not.toContain(CANARY);
});

test.each<readonly [string, object]>([
  ['bytes of a peer (HTTP parsers)', { data: CANARY, rawPacket: Buffer.from(CANARY) }],
  ['a certificate (TLS)', { cert: { subject: { CN: CANARY } }, reason: CANARY, host: CANARY }],
  ['what a URL parser read', { input: CANARY, base: CANARY }],
  ['the answer of a host', { headers: { a: CANARY }, body: CANARY, trailers: [CANARY] }],
  ['errors of its own, several', { errors: [new Error(CANARY)], aggregateErrors: [CANARY] }],
  ['options of a failure', { options: { input: CANARY } }],
  ['a code that is an object', { code: { a: CANARY } }],
])('N8: of an error with %s only name, code, message, stack and cause are told', (_what, more) => {
  const inner = Object.assign(new TypeError('inner'), more);
  const told = JSON.stringify(describeCause(Object.assign(new Error('outer', { cause: inner }), more)));
  expect(told).toContain('"name":"TypeError"');
  expect(told).toContain('log.test.ts');
  expect(told).not.toContain(CANARY);
});

test('N8: messages are cut, their control characters are gone, and a stack does not bring them back', () => {
  const long = `${'a'.repeat(250)}\u001b[31m\n    at ${'b'.repeat(1_000)} ${CANARY} (file.js:1:1)\n${CANARY}`;
  const told = describeCause(new Error(long, { cause: `${'c'.repeat(300)}${CANARY}` }));
  const text = JSON.stringify(told);
  expect(text.length).toBeLessThan(5_000);
  expect(text).not.toContain(CANARY);
  expect(text).not.toContain('\\u001b');
  expect(told).toMatchObject({ message: expect.stringMatching(/^a{250} \[31m b*|^a{250} /) });
});

test('N8: causes in one another, or in themselves, come to an end', () => {
  const circle: Error & { cause?: unknown } = new Error('again');
  circle.cause = circle;
  expect(JSON.stringify(describeCause(circle)).match(/"again"/g)).toHaveLength(4);
});

test.each(['cause', 'err', 'reason'])('N8: an error that is logged as %s is described the same way', (field) => {
  const program = `
    const { createLog } = await import('./dist/gateway/runtime/log.js');
    const error = Object.assign(new Error('why'), { data: process.env.CANARY, code: 'E_WHY' });
    createLog('test', 'debug').debug({ [process.env.FIELD]: error, other: 5 }, 'happened');`;
  const env = { PATH: process.env['PATH'] ?? '', CANARY, FIELD: field };
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { env, encoding: 'utf8' });
  expect(JSON.parse(stdout)).toMatchObject({ event: 'happened', other: 5, [field]: { code: 'E_WHY', message: 'why' } });
  expect(stdout).not.toContain(CANARY);
});

const MUCH = `
  const { createLog, droppedLogLines } = await import('./dist/gateway/runtime/log.js');
  const log = createLog('test', 'info');
  for (let n = 0; n < 3_000; n += 1) {
    log.info({ n, text: 'x'.repeat(1_000) }, 'a line');
    if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  process.stderr.write('dropped ' + droppedLogLines());
  process.exit(0);`;

test.each([
  ['the disk under it is full', '/dev/full'],
  ['its reader is gone', 'pipe'],
] as const)(
  'H6: a log that cannot be written costs its lines, which are counted, and not the process: %s',
  async (_why, where) => {
    const file = where === 'pipe' ? undefined : openSync(where, 'w');
    const child = spawn(process.execPath, ['--input-type=module', '--eval', MUCH], {
      stdio: ['ignore', file ?? 'pipe', 'pipe'],
    });
    child.stdout?.destroy();
    let told = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      told += chunk.toString();
    });
    const [code] = await once(child, 'close');
    if (file !== undefined) closeSync(file);
    expect(told).toMatch(/^dropped [1-9]\d*$/);
    expect(code).toBe(0);
  },
);
