// @ts-check
import { request } from 'node:http';
import { connect } from 'node:net';
import { cutBytes } from './mutants.mjs';

/** The result of a mutant. @typedef {{ status: number, headers: Record<string, unknown>, text: string, isWhole: boolean, how: 'answered' | 'left' | 'closed' | 'silent' }} Outcome */

/** Longer than all limits of the stack. */
const SILENT_MS = 30_000;
/** Status line of the first answer that is not a 1xx. */
const HEAD = /^(?:HTTP\/1\.1 1\d\d [^\r]*\r\n\r\n)*HTTP\/1\.1 ([2-5]\d\d) [^\r]*\r\n([^]*?)\r\n\r\n/;
/** HTTP clients refuse to send these, so a raw socket sends them. */
const UNSENDABLE = /[^\x21-\x7e]/;

/**
 * @param {import('./mutants.mjs').Mutant} mutant @param {{ port: number, internalPort: number, agent: import('node:http').Agent }} to
 * @returns {Promise<Outcome>} never rejects
 */
export function sendMutant(mutant, { port, internalPort, agent }) {
  const target = mutant.toInternal ? internalPort : port;
  const isBare = mutant.cuts !== undefined || mutant.leavesAfter !== undefined || UNSENDABLE.test(mutant.path);
  return isBare ? sendBytes(mutant, target) : sendRequest(mutant, target, agent);
}

/** @param {import('./mutants.mjs').Mutant} mutant @param {number} port @param {import('node:http').Agent} agent @returns {Promise<Outcome>} */
function sendRequest({ method, path, headers, body, chunks }, port, agent) {
  return new Promise((resolve) => {
    const seen = { status: 0, headers: {}, text: '', isWhole: false };
    /** @param {Outcome['how']} how */
    const end = (how) => {
      clearTimeout(timer);
      resolve({ ...seen, how });
    };
    const length = body === undefined || chunks.length > 0 ? {} : { 'content-length': String(body.length) };
    const options = { host: '127.0.0.1', port, method, path, headers: { ...headers, ...length }, agent };
    const sent = request(options);
    const timer = setTimeout(() => {
      end('silent');
      sent.destroy();
    }, SILENT_MS);
    sent.on('response', (res) => {
      Object.assign(seen, { status: res.statusCode ?? 0, headers: res.headers });
      res.setEncoding('utf8');
      res.on('data', (text) => (seen.text += text));
      res.on('error', () => {});
      res.on('close', () => {
        seen.isWhole = res.complete;
        end('answered');
      });
    });
    sent.on('upgrade', (_res, socket) => {
      socket.destroy();
      end('closed');
    });
    sent.on('error', () => end('closed'));
    if (chunks.length > 0 && body !== undefined) {
      let from = 0;
      for (let i = 0; from < body.length; i += 1) {
        // Small pieces first, because their boundaries matter, not their number.
        const size = i < 20 ? (chunks[i % chunks.length] ?? 1) : body.length;
        sent.write(body.subarray(from, from + size));
        from += size;
      }
    } else if (body !== undefined) sent.write(body);
    sent.end();
  });
}

/** @param {import('./mutants.mjs').Mutant} mutant @param {number} port @returns {Promise<Outcome>} */
function sendBytes({ method, path, headers, body, cuts, leavesAfter }, port) {
  const all = { host: '127.0.0.1', ...headers, 'content-length': String(body?.length ?? 0) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const right = Buffer.concat([
    Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'),
    body ?? Buffer.alloc(0),
  ]);
  const bytes = cuts === undefined ? right : cutBytes(right, cuts);
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    /** @param {Outcome['how']} how */
    const end = (how) => {
      clearTimeout(timer);
      socket.destroy();
      const [head, status = '0', fields = ''] = HEAD.exec(text) ?? [];
      const pairs = fields.split('\r\n').map((line) => line.split(/: ?/, 2));
      // A changed request may be one and a half requests, so only the part after the first head is checked.
      resolve({
        status: Number(status),
        headers: Object.fromEntries(pairs),
        text: text.slice(head?.length),
        isWhole: false,
        how,
      });
    };
    const timer = setTimeout(() => end('silent'), SILENT_MS);
    socket.on('error', () => {});
    socket.on('close', () => end(HEAD.test(text) ? 'answered' : 'closed'));
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      if (HEAD.test(text)) end('answered');
    });
    if (leavesAfter === undefined) socket.write(bytes);
    else socket.write(bytes.subarray(0, leavesAfter), () => end('left'));
  });
}
