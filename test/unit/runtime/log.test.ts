import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, createReadStream, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { expect, test } from '@jest/globals';
import { describeCause } from '../../../gateway/runtime/log.ts';
import { temporaryFolder } from '../../support/start-process.ts';

const CANARY = 'canary-5Yq';

test('N8: a command that Redis refused is logged without its values', () => {
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
  ['input of a URL parser', { input: CANARY, base: CANARY }],
  ['the answer of a host', { headers: { a: CANARY }, body: CANARY, trailers: [CANARY] }],
  ['several inner errors', { errors: [new Error(CANARY)], aggregateErrors: [CANARY] }],
  ['options of a failure', { options: { input: CANARY } }],
  ['a code that is an object', { code: { a: CANARY } }],
])('N8: of an error with %s only name, code, message, stack and cause are logged', (_what, more) => {
  const inner = Object.assign(new TypeError('inner'), more);
  const told = JSON.stringify(describeCause(Object.assign(new Error('outer', { cause: inner }), more)));
  expect(told).toContain('"name":"TypeError"');
  expect(told).toContain('log.test.ts');
  expect(told).not.toContain(CANARY);
});

test('N8: messages are shortened without control characters, and the stack does not contain them either', () => {
  const long = `${'a'.repeat(250)}\u001b[31m\n    at ${'b'.repeat(1_000)} ${CANARY} (file.js:1:1)\n${CANARY}`;
  const told = describeCause(new Error(long, { cause: `${'c'.repeat(300)}${CANARY}` }));
  const text = JSON.stringify(told);
  expect(text.length).toBeLessThan(5_000);
  expect(text).not.toContain(CANARY);
  expect(text).not.toContain('\\u001b');
  expect(told).toMatchObject({ message: expect.stringMatching(/^a{250} \[31m b*|^a{250} /) });
});

test('N8: nested or circular causes are cut off', () => {
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
  ['its disk is full', '/dev/full'],
  ['its reader has exited', 'pipe'],
] as const)(
  'H6: a log that cannot be written loses lines, which are counted, but does not stop the process: %s',
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

/** Reports on standard error how many lines it lost; after the end of standard input it logs a few more. */
const MUCH_THEN_MORE = `${MUCH.slice(0, MUCH.indexOf('  process.exit'))}
  process.stdin.resume().once('end', async () => {
    for (let n = 0; n < 20; n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      log.info({ n: 3_000 + n, dropped: droppedLogLines() }, 'a line');
    }
    process.exit(0);
  });`;

test.each(['pipe', 'socket'] as const)(
  'H6, H13: a stopped reader of the log delays nothing; when it reads again, lines are complete and in order: %s',
  async (kind) => {
    using folder = temporaryFolder();
    const path = join(folder.path, 'fifo');
    execFileSync('mkfifo', [path]);
    // Both ends, so that it is open as long as the test is.
    const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    // The test sets the flag itself, because a program normally gets a blocking pipe.
    const end = kind === 'pipe' ? openSync(path, 'w') : 'pipe';
    const child = spawn(process.execPath, ['--input-type=module', '--eval', MUCH_THEN_MORE], {
      stdio: ['pipe', end, 'pipe'],
    });
    try {
      const [told] = (await once(child.stderr ?? process.stderr, 'data')) as [Buffer];
      const lost = Number(/^dropped (\d+)$/.exec(String(told))?.[1]);
      expect(lost).toBeGreaterThan(0);
      const reader: Readable = kind === 'pipe' ? createReadStream(path) : (child.stdout ?? process.stdin);
      const ended = once(reader, 'end');
      let text = '';
      reader.on('data', (bytes: Buffer) => {
        text += String(bytes);
      });
      child.stdin?.end();
      const [code] = await once(child, 'exit');
      expect(code).toBe(0);
      if (typeof end === 'number') closeSync(end);
      closeSync(both);
      await ended;
      const lines = text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { n: number; dropped?: number });
      const numbers = lines.map(({ n }) => n);
      expect(numbers.toSorted((a, b) => a - b)).toEqual(numbers);
      expect(numbers.at(-1)).toBe(3_019);
      // On a busy machine the first of the further lines find no room either.
      const dropped = Number(lines.at(-1)?.dropped);
      expect(dropped).toBeGreaterThanOrEqual(lost);
      expect(numbers.length).toBeGreaterThanOrEqual(3_020 - dropped - 1);
    } finally {
      child.kill('SIGKILL');
    }
  },
);
