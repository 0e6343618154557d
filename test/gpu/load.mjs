// @ts-check
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {import('./client.mjs').Record} Record
 * @typedef {import('./client.mjs').Report} Report
 * @typedef {Omit<import('./client.mjs').Order, 'type' | 'from' | 'everyMs'> & { spreadMs: number }} Load `streams` in all;
 *   `spreadMs`: the time over which their starts are spread; `pictures`: prepared by each client
 */

const CLIENT = fileURLToPath(new URL('./client.mjs', import.meta.url));

/** The client processes of a run, reused for each load. */
export class Clients {
  /** @type {import('node:child_process').ChildProcess[]} */
  #children;

  /** @param {import('node:child_process').ChildProcess[]} children */
  constructor(children) {
    this.#children = children;
  }

  /** @param {number} count */
  static async start(count) {
    const children = Array.from({ length: count }, () => fork(CLIENT).setMaxListeners(0));
    await Promise.all(children.map((child) => message(child, 'up')));
    return new Clients(children);
  }

  get pids() {
    return this.#children.map(({ pid }) => pid ?? 0);
  }

  /**
   * Starts a load when all clients are ready for it.
   * @param {Load} load
   * @returns {Promise<{ stop: () => void, ended: Promise<Seen> }>}
   */
  async begin({ spreadMs, ...load }) {
    const share = Math.ceil(load.streams / this.#children.length);
    const busy = this.#children.slice(0, Math.ceil(load.streams / share));
    const ready = busy.map((child) => message(child, 'ready'));
    for (const [index, child] of busy.entries()) {
      const streams = Math.min(share, load.streams - index * share);
      child.send({ ...load, type: 'order', from: index * share, streams, everyMs: spreadMs / load.streams });
    }
    await Promise.all(ready);
    const reports = busy.map((child) => /** @type {Promise<Report>} */ (message(child, 'done')));
    for (const child of busy) child.send({ type: 'go' });
    return {
      stop: () => busy.forEach((child) => child.send({ type: 'stop' })),
      ended: Promise.all(reports).then((all) => new Seen(all)),
    };
  }

  stop() {
    for (const child of this.#children) child.kill('SIGKILL');
  }
}

/** All clients' results of one load. */
class Seen {
  /** @type {Record[]} */
  records;
  /** @type {Map<number, number>} */
  #chunks = new Map();

  /** @param {readonly Report[]} reports */
  constructor(reports) {
    this.records = reports.flatMap(({ records }) => records);
    for (const [quarter, count] of reports.flatMap(({ chunks }) => chunks))
      this.#chunks.set(quarter, (this.#chunks.get(quarter) ?? 0) + count);
  }

  get failed() {
    return this.records.filter(({ outcome }) => outcome !== 'whole' && outcome !== 'stopped');
  }

  /** Between two instants, in ms since 1970. @param {number} from @param {number} to */
  between(from, to) {
    const seconds = (to - from) / 1_000;
    const inside = (/** @type {number} */ at) => at >= from && at <= to;
    const chunks = [...this.#chunks]
      .filter(([quarter]) => inside(quarter * 250))
      .reduce((sum, [, count]) => sum + count, 0);
    const first = this.records
      .filter(({ firstAt }) => inside(firstAt))
      .map(({ firstAt, startedAt }) => firstAt - startedAt);
    const ended = this.records.filter(({ endedAt, outcome }) => outcome === 'whole' && inside(endedAt));
    return {
      chunksPerSecond: chunks / seconds,
      requestsPerSecond: ended.length / seconds,
      ttft: { n: first.length, p50: quantile(first, 0.5), p90: quantile(first, 0.9), p99: quantile(first, 0.99) },
      longestGapMs: Math.max(0, ...ended.map(({ longestGapMs }) => longestGapMs)),
      failed: this.failed.length,
      failures: [...new Set(this.failed.map(({ outcome }) => outcome))].slice(0, 5),
    };
  }
}

/** @param {readonly number[]} values @param {number} part @returns {number} NaN of none */
export function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

export const median = (/** @type {readonly number[]} */ values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
};

/** @param {import('node:child_process').ChildProcess} child @param {string} type @returns {Promise<unknown>} */
function message(child, type) {
  return new Promise((resolve, reject) => {
    const onMessage = (/** @type {unknown} */ value) => {
      if (typeof value !== 'object' || value === null || !('type' in value) || value.type !== type) return;
      child.off('message', onMessage);
      resolve(value);
    };
    child.on('message', onMessage);
    once(child, 'exit').then(() => reject(new Error('a client process exited')), reject);
  });
}
