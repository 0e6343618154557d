import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { factsOf } from '../../deploy/local/up/identity.mjs';
import { eventually } from './eventually.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
export const PENSTOCK = join(ROOT, 'deploy/local/penstock.mjs');

interface NotedProcess {
  readonly name: string;
  readonly pid: number;
  readonly url?: string;
}

/** One run of the start program, from a user's view. */
export interface StartProcess extends AsyncDisposable {
  readonly pid: number;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** resolves when stdout contains it; fails immediately if the process exits first */
  readonly says: (pattern: RegExp, limitMs?: number) => Promise<RegExpExecArray>;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; seconds: number }>;
  /** the current processes in pids.json; empty if the file is missing */
  readonly noted: () => NotedProcess[];
}

/** A folder that is removed with its scope. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'penstock-start-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) };
}

export function isAlive(pid: number): boolean {
  return factsOf(pid) !== undefined;
}

/** Without npm's variables for scripts, because the test runner's own npm is not a parent here. */
export function cleanEnv(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|GATEWAY_|WORKER_|PENSTOCK_|NODE_OPTIONS)/.test(name),
  );
  return { ...Object.fromEntries(kept), ...extra };
}

/** In its own process group, as from a shell; disposal ends all its processes. */
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
    if (seen === 'over') throw new Error(`it exited before it printed ${pattern}:\n${stdout}\n${stderr}`);
    return seen;
  };
  const { pid } = child;
  // Signals to process 0 would go to the tests' own group.
  if (pid === undefined) throw new Error(`${file} cannot be started`);
  return {
    pid,
    stdout: () => stdout,
    stderr: () => stderr,
    says,
    ended,
    noted,
    async [Symbol.asyncDispose]() {
      // a start whose folder is in use would read another start's processes there
      const others = over && noted().some((one) => one.name === 'start' && isAlive(one.pid));
      const all = others ? [] : noted();
      if (!over) process.kill(-pid, 'SIGKILL');
      await ended;
      await eventually('all processes of the start have ended', () => all.every((one) => !isAlive(one.pid)));
    },
  };
}
