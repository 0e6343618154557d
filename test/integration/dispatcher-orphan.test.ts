import { fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { freePort } from '#runtime/free-port';

test('a dispatcher whose launcher is killed while Redis is down exits by itself', async () => {
  const env = { ...process.env, WORKER_MODEL: 'm', WORKER_REDIS_URL: `redis://127.0.0.1:${await freePort()}` };
  const child = fork('dist/worker-launcher/dispatch/main.js', [], { env, stdio: ['ignore', 'pipe', 'ignore', 'ipc'] });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await eventually('it has begun to look for Redis', () => output.includes('redis connection lost'));
  const exited = once(child, 'exit');
  child.disconnect();
  const limit = setTimeout(() => child.kill('SIGKILL'), 10_000);
  expect((await exited)[1]).toBeNull();
  clearTimeout(limit);
});
