import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { factsOf } from '../../deploy/local/up/identity.mjs';
import { checkPorts } from '../../deploy/local/up/ports.mjs';
import { eventually } from './eventually.ts';
import { freePort } from '#runtime/free-port';

export const ROOT = resolve(import.meta.dirname, '../..');
export const PENSTOCK = join(ROOT, 'deploy/local/penstock.mjs');

interface NotedProcess {
  readonly name: string;
  readonly pid: number;
  readonly url?: string;
}

/** One run of the start program, as a user sees it. */
export interface StartProcess extends AsyncDisposable {
  readonly pid: number;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** resolves when stdout shows it; fails at once when the process ends before */
  readonly says: (pattern: RegExp, limitMs?: number) => Promise<RegExpExecArray>;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; seconds: number }>;
  /** what pids.json names at this moment; empty when there is none */
  readonly noted: () => NotedProcess[];
}

/** A folder that goes with its scope. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'penstock-start-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** First of `count` ports in a row that were free a moment ago. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await freePort();
    const row = Array.from({ length: count }, (_, n) => ({ internal: first + n }));
    const host = '127.0.0.1';
    const hosts = { public: host, gatewayInternal: host, launcherInternal: host };
    try {
      await checkPorts({ gateways: [], launchers: row }, hosts);
      return first;
    } catch {
      // another row
    }
  }
}

export function isAlive(pid: number): boolean {
  return factsOf(pid) !== undefined;
}

/** Without what npm tells its scripts: the test runner's own npm is nobody's parent here. */
export function cleanEnv(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|GATEWAY_|WORKER_|PENSTOCK_|NODE_OPTIONS)/.test(name),
  );
  return { ...Object.fromEntries(kept), ...extra };
}

/** In a process group of its own, as a shell starts it; on disposal nothing of it is left. */
export function runStart(
  command: readonly string[],
  dataDir: string,
  env: NodeJS.ProcessEnv,
  cwd = ROOT,
): StartProcess {
  const [file = '', ...args] = command;
  const startedAt = performance.now();
  const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes) => (stdout += String(bytes)));
  child.stderr.on('data', (bytes) => (stderr += String(bytes)));
  let over = false;
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null; seconds: number }>((done) => {
    child.once('exit', (code, signal) => {
      over = true;
      done({ code, signal, seconds: (performance.now() - startedAt) / 1_000 });
    });
  });
  const noted = (): NotedProcess[] => {
    try {
      return (JSON.parse(readFileSync(join(dataDir, 'pids.json'), 'utf8')) as { processes: NotedProcess[] }).processes;
    } catch {
      return [];
    }
  };
  const says = async (pattern: RegExp, limitMs = 60_000): Promise<RegExpExecArray> => {
    const seen = await eventually(
      `stdout shows ${pattern}\n${stdout}\n${stderr}`,
      () => pattern.exec(stdout) ?? (over ? 'over' : undefined),
      limitMs,
    );
    if (seen === 'over') throw new Error(`it ended before it said ${pattern}:\n${stdout}\n${stderr}`);
    return seen;
  };
  const { pid } = child;
  // Signals to process 0 go to the group of the tests themselves.
  if (pid === undefined) throw new Error(`${file} cannot be started`);
  return {
    pid,
    stdout: () => stdout,
    stderr: () => stderr,
    says,
    ended,
    noted,
    async [Symbol.asyncDispose]() {
      // a start that was refused its folder reads there what another one runs
      const others = over && noted().some((one) => one.name === 'start' && isAlive(one.pid));
      const all = others ? [] : noted();
      if (!over) process.kill(-pid, 'SIGKILL');
      await ended;
      await eventually('nothing of the start is left', () => all.every((one) => !isAlive(one.pid)));
    },
  };
}
