import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PENSTOCK, ROOT, cleanEnv } from './start-process.ts';

export interface Commanded {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `penstock ARGS` to its end, like a user. */
export async function penstock(
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly stdin?: string } = {},
): Promise<Commanded> {
  const child = spawn(process.execPath, [PENSTOCK, ...args], { cwd: ROOT, env: cleanEnv(options.env) });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes) => (stdout += String(bytes)));
  child.stderr.on('data', (bytes) => (stderr += String(bytes)));
  child.stdin.end(options.stdin ?? '');
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}
