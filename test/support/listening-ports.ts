import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { groupMembers } from '../../worker-launcher/engine/process-group.ts';

/** TCP ports on which any process of a group listens. Source: proc(5), `net/tcp`, where state 0A is LISTEN. */
export function listeningPorts(pgid: number): number[] {
  const ours = new Set(groupMembers(pgid).flatMap(({ pid }) => socketInodes(pid)));
  const lines = ['tcp', 'tcp6'].flatMap((name) => readFileSync(`/proc/net/${name}`, 'utf8').split('\n').slice(1));
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === '0A' && ours.has(inode ?? ''))
    .map(([, local]) => Number.parseInt(local?.split(':')[1] ?? '', 16));
}

function socketInodes(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${fd}`))?.[1] ?? [];
    } catch {
      // already closed
      return [];
    }
  });
}
