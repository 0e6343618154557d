import { lstatSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Pool } from 'undici';

/**
 * Where an engine listens: a unix socket in the launcher's own folder, which no other user of the machine can enter. If
 * the operator sets a port: TCP on loopback, which every user of the machine can call without a key.
 */
export type EngineAddress = { readonly socket: string } | { readonly port: number };

/** Linux keeps a socket's path in 108 bytes, the last of them 0. Source: unix(7). */
const SOCKET_PATH_BYTES = 107;

/**
 * The address of one engine of this launcher.
 * @param port absent: a unix socket
 * @throws Error in one sentence when the path of the socket is too long
 */
export function engineAddress(stateDir: string, id: string, port: number | undefined): EngineAddress {
  if (port !== undefined) return { port };
  // Several launchers may share the folder.
  const socket = join(resolve(stateDir), `${id}.${process.pid}.sock`);
  const bytes = Buffer.byteLength(socket);
  if (bytes > SOCKET_PATH_BYTES)
    throw new Error(
      `the path of the unix socket of ${id}, ${socket}, has ${bytes} bytes; the system allows at most ${SOCKET_PATH_BYTES}. Set WORKER_STATE_DIR to a folder with a shorter path`,
    );
  return { socket };
}

/** Whether two addresses are the same. */
export function sameAddress(one: EngineAddress, other: EngineAddress): boolean {
  return 'socket' in one
    ? 'socket' in other && one.socket === other.socket
    : 'port' in other && one.port === other.port;
}

/**
 * Removes the socket file of an engine that has exited: vLLM does not start while the file exists.
 * @throws Error in one sentence when another file has that path; it is not removed
 */
export function clearSocket(address: EngineAddress): void {
  if (!('socket' in address)) return;
  const found = lstatSync(address.socket, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket() || (process.getuid !== undefined && found.uid !== process.getuid()))
    throw new Error(
      `an engine must listen on ${address.socket}, but that file is not a socket of this user: remove it`,
    );
  rmSync(address.socket);
}

/** Connections to an engine. */
export function connectTo(address: EngineAddress, options: Pool.Options): Pool {
  return 'socket' in address
    ? new Pool('http://localhost', { ...options, connect: { socketPath: address.socket } })
    : new Pool(`http://127.0.0.1:${address.port}`, options);
}
