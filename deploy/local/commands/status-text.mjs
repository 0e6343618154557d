// @ts-check
import { printable } from './printable.mjs';

/** Columns of a plain terminal. */
const WIDTH = 80;
const GAP = '  ';
/** No column is made narrower than this. */
const NARROWEST = 6;

/**
 * Renders the facts for people: the verdict, the problems, then one table per kind of part. Lines have at most 80 columns.
 * @param {import('./status-facts.mjs').StatusFacts} facts
 * @returns {string}
 */
export function statusText({ well, problems, gateways, launchers, pools, waiting, queues, refusals, redis, issuers }) {
  const engines = pools.flatMap(({ name, engines: ofPool }) => ofPool.map((engine) => ({ pool: name, ...engine })));
  const tables = [
    table(
      ['gateway', 'state', 'open', 'log', 'at'],
      gateways.map(({ replica, state, openRequests, logLinesDropped, url }) => [
        replica ?? '-',
        state,
        shown(openRequests),
        log(logLinesDropped),
        url,
      ]),
    ),
    table(
      ['worker', 'pool', 'state', 'engine', 'log', 'at'],
      launchers.map(({ node, pool, state, engine, logLinesDropped, url }) => [
        node ?? '-',
        pool ?? '-',
        state,
        engine ?? '-',
        log(logLinesDropped),
        url,
      ]),
    ),
    table(
      ['pool', 'worker', 'engine', 'model', 'state', 'text', 'image'],
      engines.map(({ pool, node, id, model, state, running, room }) => [
        pool,
        node,
        id,
        model,
        state,
        `${running.text}/${room.text}`,
        `${running.image}/${room.image}`,
      ]),
    ),
    table(
      ['waiting', 'text', 'image'],
      waiting.map(({ model, text, image }) => [model, shown(text), shown(image)]),
    ),
    table(
      ['queue', 'kind', 'wait', 'requests/s', 'booked'],
      queues.map(({ model, kind, expectedWaitMs, requestsPerSecond, bookings }) => [
        model,
        kind,
        seconds(expectedWaitMs),
        rounded(requestsPerSecond),
        String(bookings),
      ]),
    ),
    table(
      ['key', 'class', 'model', 'kind', 'backlog'],
      queues.flatMap(({ model, kind, keys }) =>
        keys.map((one) => [one.key, one.class, model, kind, seconds(one.backlogMs)]),
      ),
    ),
    table(
      ['refused', 'requests'],
      Object.entries(refusals).flatMap(([outcome, count]) => (count === 0 ? [] : [[outcome, String(count)]])),
    ),
    table(
      ['redis', 'state', 'latency', 'policy', 'evicted', 'restarts'],
      redis.map(({ name, state, latencyMs, evictionPolicy, evictedKeys, restarts }) => [
        name,
        state,
        latencyMs === null ? '-' : `${latencyMs} ms`,
        evictionPolicy ?? '-',
        String(evictedKeys),
        String(restarts),
      ]),
    ),
    table(
      ['issuer', 'state', 'keys', 'of'],
      issuers.map(({ issuer, state, keys, provider }) => [issuer, state, String(keys), provider]),
    ),
  ];
  const verdict = well ? ['healthy'] : ['not healthy:', ...problems.flatMap((problem) => wrapped(problem, '- '))];
  return [verdict, ...tables.filter((lines) => lines.length > 1)].map((lines) => lines.join('\n')).join('\n\n');
}

/** @param {number | null} count */
function shown(count) {
  return count === null ? '-' : String(count);
}

/** @param {number | null} ms */
function seconds(ms) {
  return ms === null ? '-' : `${(ms / 1_000).toFixed(1)} s`;
}

/** @param {number | null} rate */
function rounded(rate) {
  return rate === null ? '-' : rate.toFixed(1);
}

/** @param {number | null} dropped lines */
function log(dropped) {
  return dropped === null ? '-' : dropped === 0 ? 'ok' : `${dropped} lost`;
}

/**
 * Narrows the widest columns until a row fits; a cut cell ends in an ellipsis.
 * @param {string[]} head @param {string[][]} rows
 */
function table(head, rows) {
  const all = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const room = WIDTH - GAP.length * (head.length - 1);
  for (;;) {
    const widest = Math.max(...widths);
    if (widths.reduce((sum, width) => sum + width, 0) <= room || widest <= NARROWEST) break;
    widths[widths.lastIndexOf(widest)] = widest - 1;
  }
  return all.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return (cell.length <= width ? cell : `${cell.slice(0, width - 1)}…`).padEnd(width);
      })
      .join(GAP)
      .trimEnd(),
  );
}

/** @param {string} text @param {string} mark before its first line */
function wrapped(text, mark) {
  const most = WIDTH - mark.length;
  const lines = printable(text).match(new RegExp(`.{1,${most}}(?= |$)|\\S{${most}}`, 'g')) ?? [];
  return lines.map((line, index) => `${index === 0 ? mark : ' '.repeat(mark.length)}${line.trim()}`);
}
