// @ts-check
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

/**
 * Logs in and sends PING. It implements the protocol itself because it runs before the dependencies are installed.
 * Source: RESP2, redis.io/docs/latest/develop/reference/protocol-spec; a reply here is one line, `+` for success, `-` for an error.
 * @param {string} url `redis://` or `rediss://`, with user, password and database as ioredis reads them
 * @param {number} withinMs
 * @returns {Promise<'ready' | 'loading'>} `loading`: it still reads its data
 * @throws Refusal in one sentence that never contains the password
 */
export function pingRedis(url, withinMs) {
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  const where = { host, port: Number(port || 6379) };
  const name = `Redis at ${host}:${where.port}`;
  const database = pathname.slice(1);
  const commands = [
    ...(password === '' ? [] : [['AUTH', ...(username === '' ? [] : [decode(username)]), decode(password)]]),
    ...(database === '' ? [] : [['SELECT', database]]),
    ['PING'],
  ];
  return new Promise((resolve, reject) => {
    const secure = protocol === 'rediss:';
    const socket = secure ? connectTls({ ...where, servername: host }) : connect(where);
    /** @param {string} problem */
    const refuse = (problem) => {
      socket.destroy();
      reject(new Refusal(`${name} ${problem}`));
    };
    let text = '';
    socket.setTimeout(withinMs, () => refuse(`did not answer within ${withinMs / 1_000} s`));
    socket.once(secure ? 'secureConnect' : 'connect', () => socket.write(commands.map(encode).join('')));
    socket.once('error', (error) => refuse(`cannot be reached: ${reasonOf(error)}`));
    socket.once('close', () => refuse('closed the connection'));
    socket.on('data', (bytes) => {
      text += String(bytes);
      const lines = text.split('\r\n').slice(0, -1);
      const refused = lines.find((line) => !line.startsWith('+'));
      if (refused?.startsWith('-LOADING') === true) resolve('loading');
      else if (refused?.startsWith('-') === true) return refuse(`refuses the login or database: ${refused.slice(1)}`);
      else if (refused !== undefined) return refuse('does not speak the Redis protocol');
      else if (lines.length < commands.length) return undefined;
      else resolve('ready');
      return socket.destroy();
    });
  });
}

/** @param {readonly string[]} words */
function encode(words) {
  return [`*${words.length}`, ...words.flatMap((word) => [`$${Buffer.byteLength(word)}`, word]), ''].join('\r\n');
}

/** @param {string} text part of a URL */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
