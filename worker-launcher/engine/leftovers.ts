import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { groupMembers } from './process-group.ts';

/**
 * Files that a killed vLLM leaves on the machine: segments of shared memory, the rendezvous file of its workers, its
 * socket. The segments fill a small `/dev/shm` until no worker starts. Other files, such as weights in `/dev/shm`, are not ours.
 */
const SHARED_MEMORY = /^\/dev\/shm\/(?:psm_|nccl-)[^/\s]+$/;
const SOCKET = /^\/(?:[^/\0\n]+\/)*engine-\d+\.\d+\.sock$/;
const RENDEZVOUS = /^\/(?:[^/\0\n]+\/)*vllm_dist_[0-9a-f]{8,}$/;

/** Segments of shared memory that the running processes of a group have mapped. Source: proc(5), `maps`. */
export function sharedMemoryOf(pgid: number): string[] {
  const found = new Set<string>();
  for (const { pid } of groupMembers(pgid)) for (const path of mappedBy(pid)) if (isLeftover(path)) found.add(path);
  return [...found];
}

/** The rendezvous file that a log line names. Source: vLLM's `world_size=… distributed_init_method=file://…`. */
export function rendezvousIn(line: string): string | undefined {
  const path = /distributed_init_method=file:\/\/(\S+)/.exec(line)?.[1];
  return path !== undefined && isLeftover(path) ? path : undefined;
}

/**
 * Removes the files that exited engines left; call it after their groups have ended. A file stays if a running process
 * maps it, if it belongs to another user, or if its name is not that of a leftover.
 * @returns the removed files
 */
export function clearLeftovers(paths: Iterable<string>): string[] {
  const present = [...new Set(paths)].filter((path) => isLeftover(path) && isOurs(path));
  if (present.length === 0) return [];
  const mapped = new Set<string>();
  for (const name of readdirSync('/proc'))
    if (/^\d+$/.test(name)) for (const path of mappedBy(Number(name))) mapped.add(path);
  const removed = present.filter((path) => !mapped.has(path));
  for (const path of removed) rmSync(path, { force: true });
  return removed;
}

function isLeftover(path: string): boolean {
  return SHARED_MEMORY.test(path) || RENDEZVOUS.test(path) || SOCKET.test(path);
}

function isOurs(path: string): boolean {
  const fact = lstatSync(path, { throwIfNoEntry: false });
  const isExpected = SOCKET.test(path) ? fact?.isSocket() : fact?.isFile();
  return fact !== undefined && isExpected === true && (process.getuid === undefined || fact.uid === process.getuid());
}

function mappedBy(pid: number): string[] {
  try {
    const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
    return [...maps.matchAll(/ (\/(?:dev\/shm\/|\S*\/vllm_dist_)\S+)$/gm)].map(([, path]) => path ?? '');
  } catch {
    // exited, or another user's
    return [];
  }
}
