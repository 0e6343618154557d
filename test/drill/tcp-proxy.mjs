// @ts-check
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { pause, until } from './processes.mjs';

const READY_WITHIN_MS = 90_000;
const RETRY_MS = 20;

/**
 * Forwards each connection to the current `target` port; without a target it is closed immediately.
 * @typedef {object} TcpProxy
 * @property {number} port
 * @property {() => void} cut breaks all connections
 * @property {(isMute: boolean) => void} mute while true, connections are accepted but no byte passes; connections of that time, and from
 * before, never pass a byte again, and neither side is notified
 * @property {(name: string | undefined) => void} muteOne the same only for connections with this Redis client name; undefined: for none
 * @property {() => Promise<void>} stop
 */

const OPENING_BYTES = 2_048;

/**
 * @param {() => number | undefined} target
 * @param {{ waits?: boolean }} [options] `waits`: a connection waits for a target, and uses another one if a port is closed
 * @returns {Promise<TcpProxy>}
 */
export async function startProxy(target, { waits = false } = {}) {
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  let isMute = false;
  /** @type {string | undefined} */
  let mutedName;
  /** First bytes of each client, which contain its Redis client name. @type {Map<import('node:net').Socket, string>} */
  const openings = new Map();
  /** @param {import('node:net').Socket} client @param {import('node:net').Socket} upstream */
  const muteIfNamed = (client, upstream) => {
    if (mutedName === undefined || openings.get(client)?.includes(`\n${mutedName}\r\n`) !== true) return;
    for (const socket of [client, upstream]) socket.unpipe().resume();
  };
  /** @type {Set<() => void>} */
  const looks = new Set();
  /** @param {import('node:net').Socket} client @param {import('node:net').Socket} upstream */
  const join = (client, upstream) => {
    for (const socket of [client, upstream]) {
      const other = socket === client ? upstream : client;
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        // After an orderly end, unread bytes still reach the peer.
        if (socket.errored !== null) other.destroy();
        else other.end();
      });
    }
    const look = () => muteIfNamed(client, upstream);
    looks.add(look);
    client.on('data', (piece) => {
      const said = openings.get(client) ?? '';
      if (said.length > OPENING_BYTES) return;
      openings.set(client, said + String(piece));
      look();
    });
    client.on('close', () => {
      looks.delete(look);
      openings.delete(client);
    });
    client.pipe(upstream);
    upstream.pipe(client);
  };
  /** @param {import('node:net').Socket} client */
  const joinWhenOpen = async (client) => {
    sockets.add(client);
    client.on('close', () => sockets.delete(client)).on('error', () => {});
    for (; !client.destroyed; await pause(RETRY_MS)) {
      const port = target();
      if (port === undefined) continue;
      const upstream = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      const isOpen = await once(upstream, 'connect').then(
        () => true,
        () => false,
      );
      if (!isOpen) continue;
      if (client.destroyed) upstream.destroy();
      else join(client, upstream);
      return;
    }
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (waits) {
      void joinWhenOpen(client);
      return;
    }
    const port = target();
    if (port === undefined) {
      client.destroy();
      return;
    }
    if (isMute) {
      sockets.add(client);
      client.on('close', () => sockets.delete(client)).on('error', () => {});
      client.on('end', () => client.end()).resume();
      return;
    }
    join(client, connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cut,
    mute(isSo) {
      isMute = isSo;
      if (isSo) for (const socket of sockets) socket.unpipe().resume();
    },
    muteOne(name) {
      mutedName = name;
      for (const look of looks) look();
    },
    async stop() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

const POLL_MS = 100;

/**
 * A balancer for several gateways. New connections go round robin to those whose last `/readyz` was 200, however old
 * that answer is, and whose port is open. If there is none, they wait.
 * @param {() => readonly { port: number, internalUrl: string, ended: () => boolean }[]} gateways all that were started
 * @returns {Promise<TcpProxy & { ready: () => number }>} `ready`: number of gateways that accept connections
 */
export async function startBalancer(gateways) {
  /** @type {Set<number>} */
  const ready = new Set();
  let turn = 0;
  let isOver = false;
  /** @param {ReturnType<typeof gateways>[number]} gateway */
  const follow = async ({ port, internalUrl, ended }) => {
    while (!isOver && !ended()) {
      const answer = await fetch(`${internalUrl}/readyz`).catch(() => undefined);
      await answer?.arrayBuffer().catch(() => {});
      if (answer?.ok === true) ready.add(port);
      else if (answer !== undefined) ready.delete(port);
      await pause(POLL_MS);
    }
    ready.delete(port);
  };
  /** @type {Map<number, Promise<void>>} */
  const followed = new Map();
  const lookForNew = () => {
    for (const gateway of gateways()) if (!followed.has(gateway.port)) followed.set(gateway.port, follow(gateway));
  };
  lookForNew();
  const looking = setInterval(lookForNew, POLL_MS);
  const proxy = await startProxy(
    () => {
      turn += 1;
      return [...ready][turn % ready.size];
    },
    { waits: true },
  );
  await until('a gateway is ready', () => ready.size > 0, READY_WITHIN_MS);
  return {
    ...proxy,
    ready: () => ready.size,
    stop: async () => {
      isOver = true;
      clearInterval(looking);
      await Promise.all([...followed.values(), proxy.stop()]);
    },
  };
}
