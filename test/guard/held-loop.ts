import { setTimeout as pause } from 'node:timers/promises';
import { asManyHere } from '../support/cpu-time.ts';
import { eventually } from '../support/eventually.ts';
import { either } from '../support/full-length.ts';
import { dataUri, noisePng } from '../support/pictures.ts';
import { ATTACKED } from './attacked-routes.ts';
import { milliseconds, must, type Check } from './check.ts';
import { HOSTILE, type Hostile } from './hostile-bodies.ts';
import { rawConnection } from '../support/raw-connection.ts';
import { CHAT, pictureQuestion, QUESTION, type Stand } from './stand.ts';

/** The limit on an otherwise idle machine, in milliseconds. */
const MOST = { blockMs: 50, delayMs: 150, gapMs: 250 };
/** The limit on a busy machine, after subtracting the delays without the body and the gateway's wait for a CPU. */
const MORE_MS = 100;
const TRIES = 3;
/** The short form sends one of this many bodies. */
const EACH = 3;
const [SHORTEST_MS, LONGEST_MS] = [500, 10_000];
const MAY_BE = [503, 504];

interface Seen {
  readonly blockMs: number;
  readonly waitMs: number;
  readonly delayMs: number;
  readonly gapMs: number;
}
const shown = ({ blockMs, waitMs, delayMs, gapMs }: Seen): string =>
  `block ${milliseconds(blockMs)} of CPU (${milliseconds(waitMs)} of a second waiting for one), delay ${milliseconds(delayMs)}, gap ${milliseconds(gapMs)}`;

async function during(stand: Stand, work: () => Promise<unknown>): Promise<Seen & { tookMs: number }> {
  const running = await stand.streams();
  await stand.loop.seen(stand.pid);
  await running.seen();
  const startedAt = performance.now();
  await work();
  const tookMs = performance.now() - startedAt;
  const { gapMs, failed } = await running.seen();
  const { blockMs, waitMs, delayMs } = await stand.loop.seen(stand.pid);
  must(failed === 0, `${failed} streams broke`);
  return { blockMs, waitMs, delayMs, gapMs, tookMs };
}

/** @returns the figures of the first try within the limit @throws Error with those of the last try */
async function holds(stand: Stand, work: () => Promise<unknown>): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    const seen = await during(stand, work);
    // Measured with each try, because the load of a busy machine changes.
    const isQuick = seen.blockMs <= MOST.blockMs || seen.blockMs <= asManyHere(MOST.blockMs);
    if (isQuick && seen.delayMs <= MOST.delayMs && seen.gapMs <= MOST.gapMs) return shown(seen);
    const quiet = await during(stand, () => pause(Math.min(Math.max(seen.tookMs, SHORTEST_MS), LONGEST_MS)));
    const figures = `${shown(seen)}; without: ${shown(quiet)}`;
    const more = MORE_MS + seen.waitMs;
    const isNoMore = seen.delayMs <= quiet.delayMs + more && seen.gapMs <= quiet.gapMs + more;
    if (isQuick && isNoMore) return figures;
    if (attempt === TRIES) throw new Error(figures);
  }
}

/** On each route; in the short form on one route, a different one for each body. */
function sendTo(stand: Stand, { body }: Hostile, index: number): Promise<void> {
  const routes = either(ATTACKED, ATTACKED.slice(index % ATTACKED.length).slice(0, 1));
  const requests = routes.flatMap((route) => {
    const sent = body(route);
    return sent === undefined ? [] : [{ path: route.path, ...sent }];
  });
  return (async () => {
    for (const { path, bytes, headers = [] } of requests) {
      const answer = stand.send(path, bytes, ...headers);
      const status = await answer.settled;
      const told = answer.received();
      answer.socket.destroy();
      const inner = Number(/^ms-azureml-model-error-statuscode: (\d+)/im.exec(told)?.[1] ?? 0);
      for (const each of [status, inner])
        must(each < 500 || MAY_BE.includes(each), `${path} answered ${each}: ${told.slice(-300)}`);
      must(status !== 0, `${path} gave no answer`);
      must(!told.includes('"code":"internal"'), `${path} answered ${told.slice(-300)}`);
    }
  })();
}

/** Requests that one connection pipelines. */
async function sendAhead(stand: Stand, request: string): Promise<void> {
  for (let round = 0; round < either(20, 5); round += 1) {
    const connection = await rawConnection(stand.gateway.url, request.repeat(5_000));
    // The answer to the first; the others may be refused.
    await eventually('an answer, or an end', () => connection.text().length > 0 || connection.isClosed());
    connection.socket.destroy();
  }
}

const json = JSON.stringify(QUESTION);
const AHEAD: readonly (readonly [name: string, request: (stand: Stand) => string])[] = [
  ['a stranger', () => 'GET /x HTTP/1.1\r\nhost: a\r\n\r\n'],
  [
    'a caller',
    (stand) =>
      `POST ${CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${stand.keyOf('hostile')}\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
  ],
  [
    'a reader of pages',
    (stand) => `GET /openapi.json HTTP/1.1\r\nhost: a\r\napi-key: ${stand.keyOf('hostile')}\r\n\r\n`,
  ],
];

/** N2 and N3: no body, whatever its contents, delays a stream. */
export const HELD_LOOP: readonly Check[] = [
  ...either(
    HOSTILE,
    HOSTILE.filter((_, index) => index % EACH === 0),
  ).map((hostile, index): Check => ({
    row: hostile.row ?? 'N2',
    name: hostile.name,
    sent: either(`one at a time to each of ${ATTACKED.length} routes`, 'once'),
    run: (stand) => holds(stand, () => sendTo(stand, hostile, index)),
  })),
  ...AHEAD.map(([who, request]): Check => ({
    row: 'N2',
    name: `requests that ${who} sends ahead on one connection`,
    sent: `${either(20, 5)} times 5,000`,
    run: (stand) => holds(stand, () => sendAhead(stand, request(stand))),
  })),
  {
    row: 'N2',
    name: 'pictures of 1.5 MB, 16 at a time',
    sent: `${either(160, 32)} of them as data: URIs`,
    run: (stand) => {
      const body = JSON.stringify(pictureQuestion(dataUri(noisePng(1_060, 1_060))));
      return holds(stand, async () => {
        for (let round = 0; round < either(10, 2); round += 1) {
          const answers = Array.from({ length: 16 }, () => stand.send(CHAT, body));
          const statuses = await Promise.all(answers.map(({ settled }) => settled));
          for (const { socket } of answers) socket.destroy();
          must(
            statuses.every((status) => status === 200 || status === 503),
            `answered ${statuses.join(', ')}`,
          );
        }
      });
    },
  },
];
