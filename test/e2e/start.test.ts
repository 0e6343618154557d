import { spawnSync } from 'node:child_process';
import { expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import {
  cleanEnv,
  isAlive,
  PENSTOCK,
  ROOT,
  runStart,
  temporaryFolder,
  type StartProcess,
} from '../support/start-process.ts';
import { freePorts } from '#runtime/free-port';

/** The complete product with simulator engines, as `npm start` or as `penstock up`. */
async function start(how: 'npm' | 'penstock', folder: string, args = '', env: NodeJS.ProcessEnv = {}) {
  const port = await freePorts(6);
  const npm = ['npm', 'start', '--'];
  const command = how === 'npm' ? npm : [process.execPath, PENSTOCK, 'up'];
  const options = `--port ${port} --data-dir ${folder} --engine simulator ${args}`.trim().split(' ');
  const run = runStart([...command, ...options], folder, cleanEnv(env));
  return Object.assign(run, { port, url: `http://127.0.0.1:${port}` });
}
type Started = Awaited<ReturnType<typeof start>>;

/** Every process in the data folder and in both `/status` pages. */
async function allPids(run: Started): Promise<number[]> {
  const pids = new Set(run.noted().map(({ pid }) => pid));
  for (const port of [run.port + 1, run.port + 2]) {
    const status = await (await fetch(`http://127.0.0.1:${port}/status`)).text();
    for (const [, pid] of status.matchAll(/"(?:pid|launcherPid)":\s*(\d+)/g)) pids.add(Number(pid));
  }
  return [...pids];
}
async function goneWithin10Seconds(pids: readonly number[]): Promise<void> {
  await eventually(
    'none of the pids is alive',
    () => pids.filter(isAlive).length === 0 || Promise.reject(new Error(`alive: ${pids.filter(isAlive).join()}`)),
    10_000,
  );
}

/** Sends the request of a printed curl command. */
async function paste(run: StartProcess, path: string): Promise<{ status: number; body: unknown }> {
  const [, url = '', header = '', body = ''] = await run.says(
    new RegExp(`^curl (\\S+${path}) -H '([^']+)' -d '(.*)'$`, 'm'),
  );
  const [name = '', value = ''] = header.split(': ');
  const response = await fetch(url, { method: 'POST', headers: { [name]: value }, body });
  return { status: response.status, body: await response.json() };
}

test('F2: npm start ends with short lines; both printed requests work; Ctrl-C ends every named process within 10 s', async () => {
  using folder = temporaryFolder();
  await using run = await start('npm', folder.path);
  await run.says(new RegExp(`^ready ${run.url}$`, 'm'));
  expect(await paste(run, '/v1/chat/completions')).toMatchObject({
    status: 200,
    body: { choices: [{ message: { role: 'assistant', content: expect.stringMatching(/\S/) } }] },
  });
  const ending = run.stdout().slice(run.stdout().indexOf('\nready '));
  expect(ending).toContain(`\ndocs ${run.url}/docs\n`);
  expect(ending).toContain(`\nstatus http://127.0.0.1:${run.port + 1}/status\n`);
  expect(ending).toContain(`npx penstock status --data-dir ${folder.path}\n`);
  expect(Math.max(...ending.split('\n').map(({ length }) => length))).toBeLessThan(240);
  expect(await paste(run, '/score')).toEqual({ status: 200, body: { output: expect.stringMatching(/\S/) } });
  const pids = await allPids(run);
  // start, guard, redis, gateway, launcher, dispatcher, engine
  expect(pids.length).toBeGreaterThanOrEqual(7);
  // a terminal sends it to npm, its shell and the start process together
  process.kill(-run.pid, 'SIGINT');
  await goneWithin10Seconds(pids);
  await run.ended;
  expect(run.stdout()).toContain('stopping (SIGINT)');
});

test('kill -9 of npm: 10 s later none of its processes runs', async () => {
  using folder = temporaryFolder();
  await using run = await start('npm', folder.path, '--engines 2');
  await run.says(/^ready /m);
  const pids = await allPids(run);
  process.kill(run.pid, 'SIGKILL');
  await goneWithin10Seconds(pids);
});

test('kill -9 of the start process: 10 s later none of its processes runs', async () => {
  using folder = temporaryFolder();
  await using run = await start('penstock', folder.path, '--gateways 2 --launchers 2');
  await run.says(/^ready /m);
  const pids = await allPids(run);
  process.kill(run.pid, 'SIGKILL');
  await goneWithin10Seconds(pids);
});

test('kill -9 of the worker-launcher: its engines end, a new launcher takes over and answers', async () => {
  using folder = temporaryFolder();
  await using run = await start('penstock', folder.path);
  await run.says(/^ready /m);
  const pids = await allPids(run);
  const kept = run.noted().filter(({ name }) => name !== 'worker-launcher');
  process.kill(run.noted().find(({ name }) => name === 'worker-launcher')?.pid ?? Number.NaN, 'SIGKILL');
  await run.says(/^worker-launcher exited unexpectedly \(SIGKILL\)/m);
  await goneWithin10Seconds(pids.filter((pid) => !kept.some((one) => one.pid === pid)));
  expect(kept.every(({ pid }) => isAlive(pid))).toBe(true);
  expect(await paste(run, '/score')).toMatchObject({ status: 200 });
});

test('Ctrl-C during a long answer: every process ends within 10 s', async () => {
  using folder = temporaryFolder();
  await using run = await start('penstock', folder.path, '', { PENSTOCK_SIM_ITL_MS: '500' });
  await run.says(/^ready /m);
  const pids = await allPids(run);
  const messages = [{ role: 'user', content: 'tell me a long story' }];
  const answer = await fetch(`${run.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'Phi-3-vision-128k-instruct', messages, stream: true, max_tokens: 200 }),
  });
  expect(answer.status).toBe(200);
  // the client reads to the end, so that the stream keeps both programs busy
  const read = answer.text().catch(() => 'cut off');
  process.kill(run.pid, 'SIGINT');
  await goneWithin10Seconds(pids);
  await read;
});

test('a wrong option, the version and the help need no start', () => {
  const penstock = (...args: string[]) =>
    spawnSync(process.execPath, [PENSTOCK, ...args], { cwd: ROOT, encoding: 'utf8' });
  expect(penstock('up', '--prot', '1')).toMatchObject({
    status: 1,
    stdout: '',
    stderr: "penstock: Unknown option '--prot'; see penstock --help\n",
  });
  expect(penstock('--version')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^penstock \d+\.\d+\.\d+\n$/),
  });
  expect(penstock('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--data-dir DIR') });
});
