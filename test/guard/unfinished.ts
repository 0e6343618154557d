import { readFileSync } from 'node:fs';
import { eventually } from '../support/eventually.ts';
import { either } from '../support/full-length.ts';
import { dataUri, noisePng } from '../support/pictures.ts';
import { rawConnection } from '../support/raw-connection.ts';
import { call } from '../support/call.ts';
import { milliseconds, must, type Check } from './check.ts';
import { CHAT, pictureQuestion, QUESTION, STREAMS, type Stand } from './stand.ts';

/** memory limit of the chart's gateway */
const POD_BYTES = 1024 * 1024 * 1024;
const UPLOADS = either(200, 60);
const UPLOAD_BYTES = 19_000_000;
const CONNECTIONS = either(1_000, 300);
/** The gateway's defaults, or a tenth. */
const [HEAD_MS, BODY_MS] = [either(15_000, 1_500), either(60_000, 6_000)];
const LATE_MS = 10_000;
const BEGINNINGS = [
  '',
  'GET / HT',
  `POST ${CHAT} HTTP/1.1\r\nhost: localhost\r\nx-a: `,
  `POST ${CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n{`,
  'POST /score HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{',
  'GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\nhost: loc',
];

async function uploads(stand: Stand): Promise<string> {
  const streams = await stand.streams();
  await streams.seen();
  const rss = (): number =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${stand.pid}/status`, 'utf8'))?.[1]) * 1_024;
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, rss())), 20);
  const most = Buffer.alloc(UPLOAD_BYTES, ' ');
  const sent = Array.from({ length: UPLOADS }, (_, index) => {
    const isAnnounced = index % 2 === 0;
    const upload = stand.send(CHAT, '', isAnnounced ? 'content-length: 20000000' : 'transfer-encoding: chunked');
    if (!isAnnounced) upload.socket.write('121eac0\r\n');
    upload.socket.write(most);
    void upload.status.then(() => upload.socket.destroy());
    return upload;
  });
  const picture = pictureQuestion(dataUri(noisePng(500, 500)));
  const meanwhile = await Promise.all([QUESTION, picture, QUESTION].map((body) => stand.ask(body).ended));
  const statuses = await Promise.all(sent.map(({ settled }) => settled));
  clearInterval(watch);
  const { failed } = await streams.seen();
  const figure = `RSS at most ${Math.round(peak / 1024 / 1024)} MiB; ${failed} of ${STREAMS} streams broke; ${statuses.filter((status) => status === 503).length} uploads refused with 503`;
  must(peak < POD_BYTES, figure);
  must(failed === 0, figure);
  // Each that is whole is followed by another one.
  await eventually('all streams run', async () => (await streams.seen()).running === STREAMS);
  must(
    meanwhile.every(({ status }) => status === 200),
    `honest requests were answered ${meanwhile.map(({ status }) => status).join(', ')}`,
  );
  const others = statuses.filter((status) => ![0, 503, 408].includes(status));
  must(others.length === 0 && statuses.includes(503), `uploads were answered ${others.join(', ')}`);
  await eventually(
    'the hostile key is served again',
    async () => (await stand.ask(QUESTION, 'hostile').ended).status === 200,
  );
  return figure;
}

async function crowd(stand: Stand): Promise<string> {
  const gateway = await stand.startGateway({
    GATEWAY_HEAD_TIMEOUT_MS: String(HEAD_MS),
    GATEWAY_BODY_TIMEOUT_MS: String(BODY_MS),
  });
  const open: Awaited<ReturnType<typeof rawConnection>>[] = [];
  const closedAt: number[] = [];
  for (let n = 0; n < CONNECTIONS; n += 1) {
    const openedAt = performance.now();
    const connection = await rawConnection(gateway.url, BEGINNINGS[n % BEGINNINGS.length]);
    void connection.closed.then(() => closedAt.push(performance.now() - openedAt));
    open.push(connection);
  }
  const drip = setInterval(() => {
    for (const { isClosed, socket } of open) if (!isClosed() && socket.writable) socket.write('x');
  }, HEAD_MS / 3);
  const took: number[] = [];
  const headers = { authorization: `Bearer ${stand.keyOf('honest')}` };
  try {
    await eventually(
      'all are closed',
      async () => {
        const { status, tookMs } = await call(gateway.url + CHAT, QUESTION, headers).ended;
        must(status === 200, `an honest request was answered ${status}`);
        took.push(tookMs);
        return closedAt.length === CONNECTIONS;
      },
      BODY_MS + LATE_MS,
    );
  } finally {
    clearInterval(drip);
    for (const { socket } of open) socket.destroy();
  }
  const last = Math.max(...closedAt);
  const figure = `the last closed after ${(last / 1_000).toFixed(1)} s; ${took.length} honest requests during this time, the slowest ${milliseconds(Math.max(...took))}`;
  must(last < BODY_MS + LATE_MS, figure);
  return figure;
}

export const UNFINISHED: readonly Check[] = [
  { row: 'N4', name: 'uploads that are never finished', sent: `${UPLOADS} of 20 MB`, run: uploads },
  {
    row: 'N5',
    name: 'connections that never finish what they began',
    sent: `${CONNECTIONS} of them, a byte now and then, without a key`,
    run: crowd,
  },
];
