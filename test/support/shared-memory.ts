import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, rmSync } from 'node:fs';

/** A segment of shared memory with a name in Python's form, removed with its scope. */
export function sharedMemory(): Disposable & {
  readonly path: string;
  /** starts a process group that maps it, because it is an executable */
  map(): { readonly pid: number; kill(): void };
} {
  const path = `/dev/shm/psm_${randomBytes(4).toString('hex')}`;
  copyFileSync('/bin/sleep', path);
  return {
    path,
    map: () => {
      const child = spawn(path, ['300'], { detached: true, stdio: 'ignore' });
      return { pid: child.pid ?? 0, kill: () => void child.kill('SIGKILL') };
    },
    [Symbol.dispose]: () => rmSync(path, { force: true }),
  };
}
