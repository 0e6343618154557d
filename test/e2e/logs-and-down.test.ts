import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { factsOf } from '../../deploy/local/up/identity.mjs';
import { freePorts } from '#runtime/free-port';
import { post } from '../support/chat-client.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { cleanEnv, isAlive, PENSTOCK, runStart, temporaryFolder, type StartProcess } from '../support/start-process.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const folder = temporaryFolder();
let url: string;
let run: StartProcess;
beforeAll(async () => {
  const port = await freePorts(3);
  url = `http://127.0.0.1:${port}/v1/chat/completions`;
  const options = ['--port', String(port), '--data-dir', folder.path, '--engine', 'simulator'];
  run = runStart([process.execPath, PENSTOCK, 'up', ...options], folder.path, cleanEnv({ PENSTOCK_SIM_ITL_MS: '20' }));
  await run.says(/^ready /m);
}, 90_000);
afterAll(async () => {
  await run[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
}, 30_000);

const question = { model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };
const ask = async (id: string, more: object = {}): Promise<string> => {
  const headers = { 'content-type': 'application/json', 'x-request-id': id };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ ...question, ...more }) });
  return response.text();
};
/** `penstock ARGS`, and its lines as they come. */
const following = (...args: string[]) => {
  const child = spawn(process.execPath, [PENSTOCK, ...args], { env: cleanEnv() });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  return { child, lines, ended: once(child, 'exit') };
};

test('logs: a request of a start is one line, by its id; --follow goes on until the reader closes', async () => {
  await ask('first-request');
  const byId = ['logs', '--data-dir', folder.path, '--request'];
  const seen = await eventually('the line is there', async () => {
    const { stdout } = await penstock([...byId, 'first-request']);
    return stdout === '' ? undefined : stdout;
  });
  expect(seen).toMatch(
    new RegExp(
      `^[-\\d]{10} [\\d:.]{12} info  gateway +200 POST /v1/chat/completions  answered  key anonymous  model ${MODEL}`,
    ),
  );
  expect(seen).toMatch(/ {2}\d+ ms \(before the queue \d+, queue \d+, first byte \d+, rest \d+\) {2}tokens \d+\+4 /);
  expect(seen.trim().split('\n')).toHaveLength(1);

  const { child, lines, ended } = following('logs', '--follow', '--last', '1', '--data-dir', folder.path);
  await eventually('it has printed the last line', () => lines.length > 0);
  await ask('second-request');
  await eventually('it prints what is written later', () => lines.some((line) => line.includes('second-request')));
  child.stdout.destroy();
  await ask('third-request');
  expect(await ended).toEqual([0, null]);
}, 60_000);

test('logs from standard input: other lines pass unchanged, a level is the least one, wrong options are refused', async () => {
  const log = readFileSync(join(folder.path, 'gateway.log'), 'utf8');
  const [first = ''] = log.split('\n');
  const all = await penstock(['logs'], { stdin: `${first}\nError: not ours\n` });
  expect(all.stdout.split('\n').slice(1)).toEqual(['Error: not ours', '']);
  expect(all.stdout).toMatch(/^[-\d]{10} [\d:.]{12} \w+ +gateway /);
  const prefixed = await penstock(['logs'], { stdin: `[pod/gateway-0/gateway] ${first}\n` });
  expect(prefixed.stdout).toBe(`[pod/gateway-0/gateway] ${all.stdout.split('\n')[0]}\n`);
  const errors = await penstock(['logs', '--level', 'error', '-'], { stdin: `${first}\nError: not ours\n` });
  expect(errors.stdout).toBe('Error: not ours\n');
  expect(await penstock(['logs', '--level', 'loud'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--level takes debug'),
  });
  const nowhere = await penstock(['logs', '--data-dir', '/nowhere/at/all']);
  expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining('has written a log in /nowhere/at/all') });
}, 60_000);

test('status --watch prints the state again and again, and ends when its reader closes', async () => {
  const { child, lines, ended } = following('status', '--watch', '--data-dir', folder.path);
  await eventually('it has printed twice', () => lines.filter((line) => line === 'healthy').length >= 2);
  child.stdout.destroy();
  expect(await ended).toEqual([0, null]);
}, 60_000);

test('down: a running answer finishes, every process of the start ends, and nothing else does', async () => {
  const stream = await post(url, { ...question, stream: true, max_tokens: 60 });
  const reader = stream.text();
  const pids = run.noted().map(({ pid }) => pid);
  const { code, stdout } = await penstock(['down', '--data-dir', folder.path]);
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^stopping the start in .*, pid \d+: .*gateway.*\n([^]*\n)?stopped in [\d.]+ s\n$/),
  });
  expect(await reader).toMatch(/data: \[DONE\]\s*$/);
  expect((await run.ended).code).toBe(0);
  await eventually('no process of it runs', () => pids.filter(isAlive).length === 0);
  expect(await penstock(['down', '--data-dir', folder.path])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('nothing runs in'),
  });
}, 60_000);

test('down leaves alone what is no start, whatever pids.json says', async () => {
  const other = spawn('sleep', ['60']);
  const named = { name: 'start', pid: other.pid, born: factsOf(other.pid ?? 0)?.born };
  writeFileSync(join(folder.path, 'pids.json'), JSON.stringify({ processes: [named], programs: [] }));
  const refused = await penstock(['down', '--data-dir', folder.path]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('is no penstock up: it was left alone') });
  writeFileSync(join(folder.path, 'pids.json'), JSON.stringify({ processes: [{ ...named, born: 'x' }], programs: [] }));
  expect(await penstock(['down', '--data-dir', folder.path])).toMatchObject({ code: 0 });
  expect(isAlive(other.pid ?? 0)).toBe(true);
  other.kill();
});
