import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { startRedis } from '../support/redis.ts';
import { cleanEnv, isAlive, ROOT, runStart, temporaryFolder } from '../support/start-process.ts';
import { freePorts } from '#runtime/free-port';

/** A compilation and a start, on a machine that other tests keep busy. */
const LIMIT_MS = 240_000;
const COPIED = ['gateway', 'worker-launcher', 'deploy/local', 'deploy/models', 'package.json', 'package-lock.json'];
const ANSWER = 'worker-launcher/simulator/text/answer.ts';

function copyOfTheTree(folder: string): void {
  for (const path of [...COPIED, 'tsconfig.json']) cpSync(join(ROOT, path), join(folder, path), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
}

test(
  'npm run dev: a change of the programs or of the console restarts with it, a build with errors leaves them running, Ctrl-C ends all',
  async () => {
    await using redis = await startRedis();
    using folder = temporaryFolder();
    copyOfTheTree(folder.path);
    const data = join(folder.path, 'data');
    const port = await freePorts(4);
    const options = ['--port', String(port), '--data-dir', data, '--engine', 'simulator', '--redis', redis.url];
    await using run = runStart(['npm', 'run', 'dev', '--', ...options], data, cleanEnv(), folder.path);
    await run.says(/^ready /m, LIMIT_MS);
    expect(await answerFrom(port)).toContain('You asked: ');
    expect(run.stdout()).not.toContain('building');

    const path = join(folder.path, ANSWER);
    writeFileSync(path, readFileSync(path, 'utf8').replace(' You asked: ', ' You wished to know: '));
    await eventually(
      'an answer of the changed program',
      async () => {
        const answer = await answerFrom(port).catch(() => '');
        return answer.includes('You wished to know: ');
      },
      LIMIT_MS,
    );

    await run.says(/^ready [^]*^ready /m, LIMIT_MS);
    const page = join(folder.path, 'gateway/console/index.html');
    writeFileSync(page, readFileSync(page, 'utf8').replace('<title>', '<title>Changed '));
    await eventually(
      'the changed console',
      async () => (await consoleOf(port).catch(() => '')).includes('Changed'),
      LIMIT_MS,
    );

    await run.says(/^ready [^]*^ready [^]*^ready /m, LIMIT_MS);
    const pids = run.noted().map(({ pid }) => pid);
    writeFileSync(path, `${readFileSync(path, 'utf8')}export const wrong: number = 'text';\n`);
    await run.says(/Found 1 error/, LIMIT_MS);
    expect(await answerFrom(port)).toContain('You wished to know: ');
    expect(run.noted().map(({ pid }) => pid)).toEqual(pids);

    // A terminal sends the signal to npm, the shell, the compiler and the programs together.
    process.kill(-run.pid, 'SIGINT');
    await run.ended;
    await eventually('no process is left', () => !pids.some(isAlive), LIMIT_MS);
  },
  3 * LIMIT_MS,
);

async function consoleOf(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/`, { headers: { accept: 'text/html' } })).text();
}

async function answerFrom(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'Phi-3-vision-128k-instruct',
      messages: [{ role: 'user', content: 'the time' }],
      max_tokens: 12,
    }),
  });
  return response.text();
}
