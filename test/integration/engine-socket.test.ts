import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { freePort } from '#runtime/free-port';
import { clearSocket, engineAddress } from '../../worker-launcher/engine/address.ts';
import { calledByAnother, mayBeAnother } from '../support/another-user.ts';
import { askEngine } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { startLauncher } from '../support/launcher.ts';
import { listeningPorts } from '../support/listening-ports.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { supervise } from '../support/supervised.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

test('N13: an engine answers on its socket, in a folder that others cannot enter, and listens on no TCP port', async () => {
  await using launcher = await startLauncher(redis.url, { WORKER_ENGINE: 'simulator' });
  await launcher.pids();
  const [engine] = (await launcher.status()).engines;
  const socket = engine?.socket ?? '';
  expect(engine?.port).toBeNull();
  expect(statSync(socket).isSocket()).toBe(true);
  expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700);
  for (const path of ['/health', '/metrics', '/v1/models', '/sim/faults']) {
    const answer = await askEngine({ socket }, path);
    await answer.text();
    expect([path, answer.status]).toEqual([path, 200]);
  }
  expect(listeningPorts(engine?.pid ?? 0)).toEqual([]);
  // Others can enter the parent folder, so that this folder is the one that refuses.
  chmodSync(dirname(dirname(socket)), 0o755);
  if (mayBeAnother) expect(await calledByAnother(socket)).toBe('EACCES');
});

test('N13: with WORKER_ENGINE_PORT each engine has a TCP port on loopback', async () => {
  const port = await freePort();
  await using launcher = await startLauncher(redis.url, {
    WORKER_ENGINE: 'simulator',
    WORKER_ENGINE_PORT: String(port),
  });
  await launcher.pids();
  const [engine] = (await launcher.status()).engines;
  expect(engine).toMatchObject({ port, socket: null });
  expect((await askEngine({ port }, '/health')).status).toBe(200);
  expect(listeningPorts(engine?.pid ?? 0)).toEqual([port]);
});

test('N13: the socket file of an exited engine is removed before a start, and after the last engine', async () => {
  const args = ['--ignore-term'];
  await using engine = await supervise({ args, limits: { stopMs: 100 } });
  const first = await engine.until('ready');
  // A process that is killed leaves its socket file.
  process.kill(first.pid ?? Number.NaN, 'SIGKILL');
  await eventually('another engine', () => {
    const { view } = engine.supervisor;
    return view.state === 'ready' && view.pid !== first.pid;
  });
  await engine.supervisor.stop({ drainMs: 0 });
  expect(readdirSync(dirname(engine.socket)).filter((name) => name.endsWith('.sock'))).toEqual([]);
});

test('N13: only a socket is removed; if another file has its path, the start fails with a message', async () => {
  using folder = temporaryFolder();
  const address = engineAddress(folder.path, 'engine-0', undefined);
  if (!('socket' in address)) throw new Error('an engine without a port has a socket');
  writeFileSync(address.socket, 'notes');
  expect(() => clearSocket(address)).toThrow(`${address.socket}, but that file is not a socket of this user`);
  expect(existsSync(address.socket)).toBe(true);
  rmSync(address.socket);
  clearSocket(address);

  const server = createServer().listen(address.socket);
  await once(server, 'listening');
  clearSocket(address);
  expect(existsSync(address.socket)).toBe(false);
  server.close();

  await using engine = await supervise({});
  await engine.until('ready');
  await engine.supervisor.stop({ drainMs: 0 });
  mkdirSync(engine.socket);
  engine.supervisor.start();
  const { lastFailure } = await engine.until('backoff');
  expect(lastFailure).toContain('is not a socket of this user');
  rmSync(engine.socket, { recursive: true });
  await engine.until('ready');
});

test('N13: the path of a socket has at most 107 bytes', () => {
  const room = 107 - Buffer.byteLength(`/engine-0.${process.pid}.sock`) - 1;
  expect(engineAddress(`/${'x'.repeat(room)}`, 'engine-0', undefined)).toHaveProperty('socket');
  expect(() => engineAddress(`/${'x'.repeat(room + 1)}`, 'engine-0', undefined)).toThrow(
    /, has 108 bytes; .* at most 107\./,
  );
  // Bytes, not characters.
  expect(() => engineAddress(`/${'é'.repeat(room)}`, 'engine-0', undefined)).toThrow('WORKER_STATE_DIR');
  expect(engineAddress(`/${'x'.repeat(200)}`, 'engine-0', 9000)).toEqual({ port: 9000 });
});
