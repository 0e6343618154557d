// @ts-check
import { ask } from './client.mjs';
import { judge, Ledger } from './ledger.mjs';
import { pause } from './processes.mjs';
import { question } from './questions.mjs';

const BEGUN_WITHIN_MS = 120_000;

/**
 * @typedef {object} LoadOptions
 * @property {number} requests
 * @property {() => string} url called for each request
 * @property {import('./questions.mjs').Oracle} oracle
 * @property {number} [everyMs] pause between two requests, whether or not earlier ones have ended
 * @property {number} [tokens] longest answer
 * @property {number} [hungAfterMs]
 * @property {import('./questions.mjs').Question['kind']} [only]
 * @property {number} [from] number of the first question
 * @property {boolean} [brokenIsError] see `judge`
 */

/** One answer with its time. @typedef {import('./client.mjs').Seen & { number: number, kind: string, sentAt: number }} Answered */

/** Requests at an even pace, each checked at its end. */
export class Load {
  ledger = new Ledger();
  /** @type {Answered[]} */
  answers = [];
  /** number of requests with at least one byte of an answer */
  begun = 0;
  /** @type {Promise<void>} */
  ended;
  /** callbacks of those that wait for a number of requests @type {Set<() => void>} */
  #watchers = new Set();
  #options;

  /** @param {LoadOptions} options */
  constructor(options) {
    this.#options = options;
    this.ended = this.#run();
    // The wait for the end gets the reason; until then it must not be unhandled.
    this.ended.catch(() => {});
  }

  get sent() {
    return this.ledger.row.sent;
  }

  get open() {
    return this.sent - this.answers.length;
  }

  /** Waits until this many requests were sent, this many answers have begun, and at least one runs. @param {number} sent @param {number} [begun] */
  async underWay(sent, begun = 1) {
    const isSo = () => this.sent >= sent && this.begun >= begun && this.open > 0;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    const come = new Promise((resolve, reject) => {
      const look = () => {
        if (isSo()) resolve(this.#watchers.delete(look));
      };
      const late = () =>
        reject(new Error(`of ${sent} requests ${this.sent} were sent, ${this.begun} answers have begun`));
      timer = setTimeout(late, BEGUN_WITHIN_MS);
      this.#watchers.add(look);
      look();
    });
    await come.finally(() => clearTimeout(timer));
  }

  /** An answer has begun. */
  answerBegins() {
    this.begun += 1;
    for (const look of this.#watchers) look();
  }

  async #run() {
    const { requests, tokens = 60, from = 0, everyMs = 25, only, oracle } = this.#options;
    const questions = Array.from({ length: requests }, (_, index) => question(from + index, tokens, only));
    // Computed first, so that the undisturbed engine takes no time during the drill.
    const expected = [];
    for (const one of questions) expected.push(await oracle.expected(one));
    const running = [];
    for (const [index, one] of questions.entries()) {
      const right = expected[index];
      if (right !== undefined) running.push(this.#one(one, right));
      if (everyMs > 0) await pause(everyMs);
    }
    await Promise.all(running);
  }

  /** @param {import('./questions.mjs').Question} one @param {import('./questions.mjs').Expected} right */
  async #one(one, right) {
    const { url, hungAfterMs = 60_000, brokenIsError = false } = this.#options;
    this.ledger.sent();
    const sentAt = performance.now();
    for (const look of this.#watchers) look();
    const seen = await ask(url(), one, hungAfterMs, { onFirst: () => this.answerBegins() });
    this.answers.push({ ...seen, number: one.number, kind: one.kind, sentAt });
    this.ledger.ended(judge(seen, right, one, { brokenIsError }), one.kind === 'stream' ? seen.longestGapMs : 0);
  }
}
