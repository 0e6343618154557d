// @ts-check
import { ask } from './client.mjs';
import { judge, Ledger } from './ledger.mjs';
import { pause, until } from './processes.mjs';
import { question } from './questions.mjs';

const BEGUN_WITHIN_MS = 30_000;

/**
 * @typedef {object} LoadOptions
 * @property {number} requests
 * @property {() => string} url asked for each request
 * @property {import('./questions.mjs').Oracle} oracle
 * @property {number} [everyMs] pause between two requests, whether or not earlier ones have ended
 * @property {number} [tokens] longest answer
 * @property {number} [hungAfterMs]
 * @property {import('./questions.mjs').Question['kind']} [only]
 * @property {number} [from] number of the first question
 * @property {boolean} [brokenIsError] see `judge`
 */

/** One answer and when it came. @typedef {import('./client.mjs').Seen & { number: number, kind: string, sentAt: number }} Answered */

/** Requests at an even pace, each judged when it ends. */
export class Load {
  ledger = new Ledger();
  /** @type {Answered[]} */
  answers = [];
  /** requests of which bytes came */
  begun = 0;
  /** @type {Promise<void>} */
  ended;
  #options;

  /** @param {LoadOptions} options */
  constructor(options) {
    this.#options = options;
    this.ended = this.#run();
    // Whoever waits for the end gets the reason; until then nobody looks.
    this.ended.catch(() => {});
  }

  get sent() {
    return this.ledger.row.sent;
  }

  get open() {
    return this.sent - this.answers.length;
  }

  /** Waits until so many requests were sent, so many answers of them have begun, and at least one is under way. @param {number} sent @param {number} [begun] */
  async underWay(sent, begun = 1) {
    const isSo = () => this.sent >= sent && this.begun >= begun && this.open > 0;
    await until(`${sent} requests are sent and ${begun} answers have begun`, isSo, BEGUN_WITHIN_MS);
  }

  async #run() {
    const { requests, tokens = 60, from = 0, everyMs = 25, only, oracle } = this.#options;
    const questions = Array.from({ length: requests }, (_, index) => question(from + index, tokens, only));
    // Asked before, so that the undisturbed engine takes no time from the drill.
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
    const onFirst = () => {
      this.begun += 1;
    };
    const seen = await ask(url(), one, hungAfterMs, { onFirst });
    this.answers.push({ ...seen, number: one.number, kind: one.kind, sentAt });
    this.ledger.ended(judge(seen, right, one, { brokenIsError }), one.kind === 'stream' ? seen.longestGapMs : 0);
  }
}
