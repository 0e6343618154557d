// @ts-check
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * Passes each connection on to the port that `target` names at that moment; without one it is closed at once.
 * @typedef {object} TcpProxy
 * @property {number} port
 * @property {() => void} cut breaks all connections
 * @property {(isMute: boolean) => void} mute while it is, connections are taken and nothing passes; those of that time, and from
 * before, never pass anything again, and nobody is told
 * @property {(name: string | undefined) => void} muteOne the same for connections alone that say this name to a Redis; undefined: for none
 * @property {() => Promise<void>} stop
 */

const OPENING_BYTES = 2_048;

/** @param {() => number | undefined} target @returns {Promise<TcpProxy>} */
export async function startProxy(target) {
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  let isMute = false;
  /** @type {string | undefined} */
  let mutedName;
  /** First bytes of each client, which hold the name that it gives to Redis. @type {Map<import('node:net').Socket, string>} */
  const openings = new Map();
  /** @param {import('node:net').Socket} client @param {import('node:net').Socket} upstream */
  const muteIfNamed = (client, upstream) => {
    if (mutedName === undefined || openings.get(client)?.includes(`\n${mutedName}\r\n`) !== true) return;
    for (const socket of [client, upstream]) socket.unpipe().resume();
  };
  /** @type {Set<() => void>} */
  const looks = new Set();
  const server = createServer({ allowHalfOpen: true }, (client) => {
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
    const upstream = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    for (const socket of [client, upstream]) {
      const other = socket === client ? upstream : client;
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        // What the peer has not read yet still reaches it after an orderly end.
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
 * What stands before several gateways: new connections go round among those whose `/readyz` says so.
 * @param {() => readonly { port: number, internalUrl: string }[]} gateways those that run now
 * @returns {Promise<TcpProxy & { ready: () => number }>} `ready`: how many take connections
 */
export async function startBalancer(gateways) {
  /** @type {number[]} */
  let ready = [];
  let turn = 0;
  const look = async () => {
    const answers = await Promise.all(
      gateways().map(async ({ port, internalUrl }) => {
        const answer = await fetch(`${internalUrl}/readyz`, { signal: AbortSignal.timeout(1_000) }).catch(
          () => undefined,
        );
        await answer?.arrayBuffer().catch(() => {});
        return answer?.ok === true ? port : undefined;
      }),
    );
    ready = answers.filter((port) => port !== undefined);
  };
  await look();
  let looking = false;
  const polling = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  }, POLL_MS);
  const proxy = await startProxy(() => {
    turn += 1;
    return ready[turn % ready.length];
  });
  return {
    ...proxy,
    ready: () => ready.length,
    stop: async () => {
      clearInterval(polling);
      await proxy.stop();
    },
  };
}
