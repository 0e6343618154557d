import { chmodSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { calledByAnother, mayBeAnother } from '../support/another-user.ts';
import { listeningPorts } from '../support/listening-ports.ts';
import { must, type Check } from './check.ts';
import type { Stand } from './stand.ts';

async function localUser(stand: Stand): Promise<string> {
  const engines = (await stand.stack.status()).workers.flatMap((worker) => worker.engines);
  const refused: string[] = [];
  for (const { pid, socket } of engines) {
    must(typeof socket === 'string', 'an engine has no socket');
    const folder = dirname(String(socket));
    must((statSync(folder).mode & 0o777) === 0o700, `others may enter ${folder}`);
    must(listeningPorts(pid ?? 0).length === 0, 'an engine listens on TCP');
    if (!mayBeAnother) continue;
    // Others can enter the parent folder, so that this folder is the one that refuses.
    chmodSync(dirname(folder), 0o755);
    refused.push(await calledByAnother(String(socket)));
  }
  must(engines.length > 0, 'there is no engine');
  must(
    refused.every((code) => code === 'EACCES'),
    `another user got ${refused.join(', ')}`,
  );
  return `${engines.length} engines: no TCP port, folders of mode 700${refused.length > 0 ? ', another user gets EACCES' : ''}`;
}

export const LOCAL_USERS: readonly Check[] = [
  { row: 'N13', name: 'another user of the machine', sent: 'a connection to each engine', run: localUser },
];
