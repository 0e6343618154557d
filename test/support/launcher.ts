import { fork, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LauncherStatus } from '../../worker-launcher/probes.ts';
import { processFact, signalGroup } from '../../worker-launcher/engine/process-group.ts';
import { eventually } from './eventually.ts';
import { freePort } from '#runtime/free-port';

const MAIN = fileURLToPath(new URL('../../dist/worker-launcher/main.js', import.meta.url));
const FAKE = fileURLToPath(new URL('./fake-vllm.mjs', import.meta.url));

export interface TestLauncher extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  /** its standard error so far, and its log, which is standard output */
  stderr(): string;
  log(): string;
  get(path: string): Promise<Response>;
  status(): Promise<LauncherStatus>;
  /** waits until it serves, then returns all its processes, itself included */
  pids(): Promise<number[]>;
}

/** The built worker-launcher with an IPC channel to its parent, as `npm start` starts it, and fake engines. */
export async function startLauncher(
  redisUrl: string,
  env: Readonly<Record<string, string>> = {},
): Promise<TestLauncher> {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-launcher-'));
  // A command `vllm` on PATH, which is the fake.
  writeFileSync(
    join(folder, 'vllm'),
    `#!/bin/sh\n[ "$1" = --version ] && echo 0.33.0 && exit\nexec '${process.execPath}' '${FAKE}' "$@" --with-core\n`,
  );
  chmodSync(join(folder, 'vllm'), 0o755);
  const port = env['WORKER_INTERNAL_PORT'] ?? String(await freePort());
  const child = fork(MAIN, [], {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      PATH: `${folder}:/usr/bin:/bin`,
      WORKER_REDIS_URL: redisUrl,
      WORKER_INTERNAL_PORT: port,
      WORKER_STATE_DIR: join(folder, 'state'),
      WORKER_ENGINE: 'vllm',
      WORKER_LOG_LEVEL: 'warn',
      ...env,
    },
  });
  let stderr = '';
  let log = '';
  child.stdout?.on('data', (chunk: Buffer) => (log += String(chunk)));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += String(chunk)));
  // Not `close`, which Node does not emit after a `disconnect` of the parent.
  const read = new Promise((resolve) => child.stderr?.once('end', resolve));
  const ended = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => void read.then(() => resolve(code)));
  });
  const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`);
  const status = async (): Promise<LauncherStatus> => (await (await get('/status')).json()) as LauncherStatus;
  let known: number[] = [];
  return {
    child,
    ended,
    stderr: () => stderr,
    log: () => log,
    get,
    status,
    pids: async () => {
      await eventually('a launcher that serves', async () => (await get('/readyz')).ok, 60_000);
      const { launcher, dispatchers, engines } = await status();
      known = [launcher.pid, ...[...dispatchers, ...engines].map(({ pid }) => pid ?? 0)];
      return known;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      for (const pid of known) if (processFact(pid) !== undefined) signalGroup(pid, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Whether a process still runs; a zombie does not. */
export function lives(pid: number): boolean {
  return processFact(pid)?.zombie === false;
}
