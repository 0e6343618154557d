import type { Server } from 'node:net';

/** The TCP port that a server listens on. @throws Error when it listens on none */
export function portOf(server: Server): number {
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('this server listens on no port');
  return address.port;
}
