import { once } from 'node:events';
import { rawConnection } from '../support/raw-connection.ts';
import { milliseconds, must, type Check } from './check.ts';
import { CHAT, type Stand } from './stand.ts';

const MODELS = 'GET /v1/models HTTP/1.1';
const POST = `POST ${CHAT} HTTP/1.1`;
const head = (...lines: readonly string[]): string => [...lines, 'connection: close', '', ''].join('\r\n');
const HOST = 'host: localhost';

const CROOKED: readonly (readonly [name: string, bytes: string | Buffer, status: number])[] = [
  ['no Host', head(MODELS), 400],
  ['two Hosts', head(MODELS, HOST, 'host: evil'), 400],
  ['an invalid Host', head(MODELS, 'host: a b'), 400],
  ['HTTP/0.9', 'GET /v1/models\r\n\r\n', 400],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['TLS', Buffer.from('16030100a5010000a10303', 'hex'), 400],
  ['CONNECT', head('CONNECT localhost:80 HTTP/1.1', 'host: localhost:80'), 405],
  ['an invalid method', head('HELLO / HTTP/1.1', HOST), 400],
  ['a transfer coding besides chunked', head(POST, HOST, 'transfer-encoding: gzip, chunked') + '0\r\n\r\n', 400],
  ['two lengths', head(POST, HOST, 'content-length: 3', 'content-length: 4'), 400],
  ['length and chunks', head(POST, HOST, 'content-length: 3', 'transfer-encoding: chunked'), 400],
  ['headers above 16 kB', head(MODELS, HOST, `x: ${'x'.repeat(20_000)}`), 431],
  ['a path that is not UTF-8', head('GET /v1/models/%ff HTTP/1.1', HOST), 404],
  ['a path that ends in a percent sign', head('GET /v1/models/% HTTP/1.1', HOST), 404],
];

async function ask(url: string, bytes: string | Buffer): Promise<{ status: number; text: string }> {
  const connection = await rawConnection(url, bytes);
  await connection.closed;
  if (!connection.socket.destroyed) await once(connection.socket, 'close');
  return { status: connection.status(), text: connection.text() };
}

async function crooked(stand: Stand): Promise<string> {
  for (const [name, bytes, status] of CROOKED)
    for (const url of [stand.gateway.url, stand.open.internalUrl]) {
      const answer = await ask(url, bytes);
      must(answer.status === status, `${name} was answered ${answer.status} on ${url}`);
      must(answer.text.includes('x-request-id'), `${name} was answered without ids`);
    }
  return `${CROOKED.length} kinds on both ports, each with its 4xx, ids and a reason`;
}

async function slashes(stand: Stand): Promise<string> {
  const many = '/'.repeat(15_000);
  const key = `authorization: Bearer ${stand.keyOf('hostile')}`;
  await stand.loop.seen(stand.pid);
  for (const path of [`${many}x`, `/x${many}`, `/v1/models/a${many}b`, `http://localhost${many}x`])
    for (let n = 0; n < 10; n += 1) await ask(stand.gateway.url, head(`GET ${path} HTTP/1.1`, HOST, key));
  const { blockMs } = await stand.loop.seen(stand.pid);
  must(blockMs < 50, `a turn took ${milliseconds(blockMs)} of CPU`);
  return `longest turn of the event loop ${milliseconds(blockMs)} of CPU`;
}

async function headers(stand: Stand): Promise<string> {
  for (const path of ['/', '/v1/models', '/no', '/docs']) {
    const { headers: told } = await fetch(stand.open.url + path);
    must(told.get('x-content-type-options') === 'nosniff', `${path} may be taken for another type`);
  }
  const docs = await fetch(`${stand.open.url}/docs`);
  must(
    docs.headers.get('content-security-policy')?.includes("frame-ancestors 'none'") === true,
    '/docs stands in frames',
  );
  return 'nosniff everywhere, /docs in no frame';
}

async function grammar(stand: Stand): Promise<string> {
  const body = {
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 1,
    structured_outputs: { grammar: 'root ::= (' },
  };
  const { status } = await stand.ask(body, 'hostile').ended;
  must(status === 400 || status === 200, `answered ${status}`);
  return `a broken grammar is answered ${status}`;
}

export const CROOKED_HEADS: readonly Check[] = [
  { row: 'N17', name: 'heads that are no whole HTTP request', sent: 'one of each kind to both ports', run: crooked },
  { row: 'N17', name: 'slashes without end', sent: '40 paths of 15 kB', run: slashes },
  { row: 'N17', name: 'headers of answers', sent: 'plain requests', run: headers },
  { row: 'N17', name: 'a grammar that no engine can build', sent: 'one request', run: grammar },
];
