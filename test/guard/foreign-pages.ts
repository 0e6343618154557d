import { once } from 'node:events';
import { rawConnection } from '../support/raw-connection.ts';
import { must, type Check } from './check.ts';
import { CHAT, QUESTION, type Stand } from './stand.ts';

const BODY = JSON.stringify(QUESTION);
const head = (...lines: readonly string[]): string => [...lines, 'connection: close', '', ''].join('\r\n');

/** Headers that a browser sends for a page of another site, or for a foreign name that resolves to this machine. */
const FOREIGN: readonly (readonly string[])[] = [
  ['host: evil.example'],
  ['host: localhost.evil.example:8080'],
  ['host: 127.0.0.1.evil.example'],
  ['host: localhost', 'origin: https://evil.example'],
  ['host: localhost', 'origin: null'],
  ['host: localhost', 'origin: http://localhost.evil.example'],
  ['host: localhost', 'origin: http://localhost:3000', 'sec-fetch-site: same-site'],
  ['host: localhost', 'sec-fetch-site: cross-site'],
];
/** Requests without a key that the key check must refuse too. */
/** Open to all who reach a gateway with keys. */
const OPEN = ['GET /', 'GET /docs'];
const TARGETS = [
  ...OPEN,
  'GET /v1/models',
  'GET /openapi.json',
  'GET /console/usage',
  'GET /console/live',
  `POST ${CHAT}`,
  'POST /score',
];
const INTERNAL = ['GET /status', 'GET /metrics', 'GET /readyz'];

async function statusOf(url: string, bytes: string): Promise<number> {
  const connection = await rawConnection(url, bytes);
  await connection.closed;
  if (!connection.socket.destroyed) await once(connection.socket, 'close');
  return connection.status();
}

async function pages(stand: Stand): Promise<string> {
  const jobs = await stand.stack.metric('penstock_jobs_added_total', stand.open);
  const [launcher] = stand.stack.launchers;
  let sent = 0;
  for (const headers of FOREIGN) {
    const ports = [
      [stand.open.url, TARGETS],
      [stand.open.internalUrl, INTERNAL],
      [launcher?.internalUrl ?? '', ['GET /status', 'GET /metrics']],
    ] as const;
    for (const [url, targets] of ports)
      for (const target of targets) {
        const isPost = target.startsWith('POST');
        const type = isPost ? ['content-type: text/plain', `content-length: ${BODY.length}`] : [];
        const status = await statusOf(url, head(`${target} HTTP/1.1`, ...headers, ...type) + (isPost ? BODY : ''));
        must(status === 403, `${target} with ${headers.join(', ')} was answered ${status}`);
        sent += 1;
      }
  }
  must(jobs === (await stand.stack.metric('penstock_jobs_added_total', stand.open)), 'a job was made');
  must(
    (await statusOf(stand.open.url, head('GET /v1/models HTTP/1.1', 'host: localhost'))) === 200,
    'localhost is refused',
  );
  return `${sent} requests refused with 403, no job made`;
}

async function withoutKey(stand: Stand): Promise<string> {
  const keys = ['', 'authorization: Bearer wrong', 'authorization: Bearer', 'api-key: x', 'authorization: Basic eDp5'];
  for (const key of keys)
    for (const target of TARGETS.filter((one) => !OPEN.includes(one))) {
      const bytes = head(
        `${target} HTTP/1.1`,
        'host: localhost',
        ...(key === '' ? [] : [key]),
        'content-length: 9999999',
      );
      const status = await statusOf(stand.gateway.url, bytes);
      must(status === 401, `${target} with "${key}" was answered ${status}`);
    }
  return `${keys.length * (TARGETS.length - OPEN.length)} requests refused with 401 before their body`;
}

export const FOREIGN_PAGES: readonly Check[] = [
  { row: 'N10', name: 'pages of other sites, and names that lead here', sent: 'all ports, without keys', run: pages },
  { row: 'N10', name: 'a stranger where keys are asked for', sent: 'no key and wrong ones', run: withoutKey },
];
