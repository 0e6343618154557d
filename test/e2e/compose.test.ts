import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import { z } from 'zod';
import { freePort } from '#runtime/free-port';

/** The parts of deploy/compose.yaml that run here, without Docker. */
const Compose = z.object({
  services: z.record(
    z.string(),
    z.object({
      image: z.string(),
      command: z.array(z.string()).optional(),
      environment: z.record(z.string(), z.string()).optional(),
      healthcheck: z.object({ test: z.array(z.string()) }).optional(),
    }),
  ),
});
const run = promisify(execFile);

let folder: string;
let services: z.infer<typeof Compose>['services'];
let env: NodeJS.ProcessEnv;

/** The container's environment, except for its folders. */
const here = (text: string): string =>
  text.replaceAll('$$', '$').replaceAll('/run/penstock', `${folder}/redis`).replaceAll('/etc/penstock', folder);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penstock-compose-'));
  services = Compose.parse(parse(await readFile('deploy/compose.yaml', 'utf8'), { merge: true })).services;
  const bin = join(folder, 'bin');
  for (const name of ['bin', 'redis', 'keys', 'data']) await mkdir(join(folder, name));
  const paths = (process.env['PATH'] ?? '').split(':');
  for (const [name, real] of [
    ['valkey-server', 'redis-server'],
    ['valkey-cli', 'redis-cli'],
  ] as const) {
    for (const path of paths) {
      const there = await stat(join(path, real)).catch(() => undefined);
      if (there !== undefined) await symlink(join(path, real), join(bin, name)).catch(() => {});
    }
  }
  await writeFile(join(bin, 'docker-entrypoint.sh'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
  env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const [command, ...args] = services['key']?.command ?? [];
  await run(command ?? '', args.map(here), { env });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

test('N12: two passwords are generated once, and only their owner can read them', async () => {
  const read = async (): Promise<string[]> =>
    Promise.all(['password', 'reply-password'].map((name) => readFile(join(folder, 'redis', name), 'utf8')));
  const made = await read();
  for (const password of made) expect(password).toMatch(/^[0-9a-f]{48}\n$/);
  expect(made[0]).not.toBe(made[1]);
  expect((await stat(join(folder, 'redis/password'))).mode & 0o777).toBe(0o600);
  const [command, ...args] = services['key']?.command ?? [];
  await run(command ?? '', args.map(here), { env });
  expect(await read()).toEqual(made);
});

test.each([
  ['redis', 'password', 'yes'],
  ['reply-redis', 'reply-password', 'no'],
])(
  'N12: %s requires its password, which no argument shows, and keeps a file: %s, %s',
  async (name, file, appendonly) => {
    const service = services[name];
    const password = (await readFile(join(folder, 'redis', file), 'utf8')).trim();
    const [command, ...args] = service?.command ?? [];
    const port = await freePort();
    const child = spawn(command ?? '', [...args.map(here), '--port', String(port), '--bind', '127.0.0.1'], {
      env,
      cwd: join(folder, 'data'),
      stdio: 'ignore',
    });
    const exited = once(child, 'exit');
    const client = new Redis({ port, password, retryStrategy: () => 50, maxRetriesPerRequest: null });
    client.on('error', () => {});
    try {
      expect(await client.config('GET', 'appendonly')).toEqual(['appendonly', appendonly]);
      expect(await client.config('GET', 'save')).toEqual(['save', '']);
      expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
      const stranger = new Redis(port).on('error', () => {});
      await expect(stranger.ping()).rejects.toThrow('NOAUTH');
      stranger.disconnect();
      expect(await readFile(`/proc/${child.pid}/cmdline`, 'utf8')).not.toContain(password);
      const [how, script] = service?.healthcheck?.test ?? [];
      expect(how).toBe('CMD-SHELL');
      const probe = here(script ?? '').replace('valkey-cli', `valkey-cli -p ${port}`);
      await expect(run('sh', ['-c', probe], { env })).resolves.toBeDefined();
      await expect(run('sh', ['-c', probe.replace(file, 'none')], { env })).rejects.toThrow();
    } finally {
      client.disconnect();
      child.kill('SIGTERM');
      await exited;
    }
  },
);

test('N12: gateway and worker-launcher have both URLs with password files, and no password', () => {
  for (const [name, prefix] of [
    ['gateway', 'GATEWAY'],
    ['worker-launcher', 'WORKER'],
  ] as const)
    expect(services[name]?.environment).toMatchObject({
      [`${prefix}_REDIS_URL`]: 'redis://redis:6379',
      [`${prefix}_REDIS_PASSWORD_FILE`]: '/etc/penstock/redis/password',
      [`${prefix}_REPLY_REDIS_URL`]: 'redis://reply-redis:6379',
      [`${prefix}_REPLY_REDIS_PASSWORD_FILE`]: '/etc/penstock/redis/reply-password',
    });
});
