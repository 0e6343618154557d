// @ts-check
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { known, pause, sendSignal, until } from '../drill/processes.mjs';
import { Stack } from '../drill/stack.mjs';
import { call, KEYS, secretOf, send } from './callers.mjs';
import { madeIn } from './engine-ledger.mjs';

/**
 * @typedef {import('./engine-ledger.mjs').Made} Made
 * @typedef {Record<'requests' | 'prompt_tokens' | 'picture_tokens' | 'answer_tokens' | 'slot_ms' | 'refusals' | 'partial_tokens' | 'repeated_attempts' | 'repeated_tokens', number>} Counts
 * @typedef {{ usage: Counts, byKey: Map<string, Counts>, made: Made[], notes: Map<string, string> }} Taken the state after a phase
 * @typedef {{ what: string, holds: boolean, seen: string }} Check
 */

const ITL_MS = 40;
const QUIET_WITHIN_MS = 90_000;
const NOTES_EVERY_MS = 15_000;
/** A stack that is quiet may still book: the gateway waits 2 s for a dispatcher that is gone, and writes refusals each second. */
const SETTLED_MS = 5_000;
const MODEL = 'Phi-3-vision-128k-instruct';

/** One stack, and all that was booked on it, beside what its engines made. */
export class Trial {
  /** by request and attempt, as Redis keeps it for a while @type {Map<string, string>} */
  #notes = new Map();
  /** @type {{ fromMs: number, atMs: number }[]} */
  #deaths = [];
  #number = 0;
  #startedAt = Date.now();

  /** @param {Stack} stack @param {string} folder @param {number} atATime */
  constructor(stack, folder, atATime) {
    this.stack = stack;
    this.folder = folder;
    this.atATime = atATime;
  }

  /** @param {number} atATime requests */
  static async start(atATime) {
    const folder = mkdtempSync(join(tmpdir(), 'penstock-usage-'));
    const keys = KEYS.map((id) => ({ id, primary: createHash('sha256').update(secretOf(id)).digest('hex') }));
    writeFileSync(join(folder, 'keys.json'), JSON.stringify({ keys }));
    writeFileSync(ledgerOf(folder), '');
    const stack = await Stack.start({
      gateways: 2,
      launchers: 2,
      engines: 2,
      gatewayEnv: { GATEWAY_KEYS_FILE: join(folder, 'keys.json') },
      workerEnv: { PENSTOCK_SIM_ITL_MS: String(ITL_MS), PENSTOCK_SIM_LEDGER: ledgerOf(folder) },
    });
    return new Trial(stack, folder, atATime);
  }

  /**
   * Sends requests, a few at a time, with faults in between.
   * @param {number} requests @param {{ leavesEvery?: number, faults?: readonly (() => Promise<void>)[] }} [with_]
   * @returns {Promise<{ sent: number, unanswered: number }>} `unanswered`: those without an answer's head
   */
  async run(requests, { leavesEvery = Infinity, faults = [] } = {}) {
    const waiting = Array.from({ length: requests }, (_, index) => index);
    const due = faults.map((fault, at) => ({ fault, from: Math.round((requests * (at + 1)) / (faults.length + 1)) }));
    let unanswered = 0;
    const looking = setInterval(() => void this.#readNotes(), NOTES_EVERY_MS);
    const one = async () => {
      for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
        if (due[0] !== undefined && index >= due[0].from) await due.shift()?.fault();
        this.#number += 1;
        const running = this.stack.runningGateways();
        const url = running[this.#number % running.length]?.url ?? '';
        const { status } = await send(url, call(this.#number, index % leavesEvery === leavesEvery - 1));
        if (status === 0) unanswered += 1;
      }
    };
    await Promise.all(Array.from({ length: this.atATime }, one));
    clearInterval(looking);
    return { sent: requests, unanswered };
  }

  /** Kills an engine of this launcher with SIGKILL. @param {number} launcher */
  async killEngine(launcher) {
    const [engine] = await this.stack
      .status(at(this.stack.launchers, launcher))
      .then(({ engines }) => engines.filter(({ state }) => state === 'ready'));
    this.#deaths.push({ fromMs: this.#startedAt, atMs: Date.now() });
    kill(engine?.pid);
  }

  /** Kills a dispatcher of this launcher with SIGKILL. @param {number} launcher */
  async killDispatcher(launcher) {
    const { dispatchers } = await this.stack.status(at(this.stack.launchers, launcher));
    kill(dispatchers[0]?.pid);
  }

  /** Kills this gateway with SIGKILL. @param {number} gateway */
  async killGateway(gateway) {
    at(this.stack.gateways, gateway).signal('SIGKILL');
    await Promise.resolve();
  }

  /** Waits until nothing is held or booked any more. @returns {Promise<Taken>} */
  async taken() {
    await this.stack.quiet(QUIET_WITHIN_MS);
    let last = '';
    await until(
      'the usage stands still',
      async () => {
        const before = last;
        last = JSON.stringify(await this.#rows());
        if (last !== before) await pause(SETTLED_MS);
        return last === before;
      },
      QUIET_WITHIN_MS,
    );
    await this.#readNotes();
    const byKey = new Map((await this.#rows()).map((row) => [row.key, row]));
    const made = madeIn(
      ledgerOf(this.folder),
      (arrived) => this.#deaths.find(({ atMs }) => atMs >= arrived)?.atMs ?? arrived,
    );
    return { usage: sumOf([...byKey.values()]), byKey, made, notes: new Map(this.#notes) };
  }

  /** Ids of the requests that gateways logged as taken by a dispatcher. */
  claimed() {
    const lines = this.stack.gateways
      .flatMap(({ output }) => output().split('\n'))
      .filter((line) => line.includes('"claimedMs"'));
    return new Set(lines.map((line) => String(JSON.parse(line).requestId)));
  }

  async stop() {
    await this.stack.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** @returns {Promise<(Counts & { key: string })[]>} */
  async #rows() {
    const [gateway] = this.stack.runningGateways();
    const answer = await fetch(`${gateway?.internalUrl}/usage?model=${MODEL}`);
    /** @type {any} */
    const body = await answer.json();
    return body.usage;
  }

  /** They lapse two minutes after the end of a request. */
  async #readNotes() {
    const { client } = this.stack.redis;
    const keys = await client.keys('*:usage-notes:*');
    const notes = await Promise.all(keys.map((key) => client.hgetall(key)));
    for (const [index, key] of keys.entries())
      for (const [attempt, note] of Object.entries(notes[index] ?? {}))
        this.#notes.set(`${key.slice(key.lastIndexOf(':') + 1)} ${attempt}`, note);
  }
}

/** @param {string} folder */
function ledgerOf(folder) {
  return join(folder, 'ledger');
}

/** @param {readonly Counts[]} all @returns {Counts} */
export function sumOf(all) {
  /** @type {Counts} */
  const sum = {
    requests: 0,
    prompt_tokens: 0,
    picture_tokens: 0,
    answer_tokens: 0,
    slot_ms: 0,
    refusals: 0,
    partial_tokens: 0,
    repeated_attempts: 0,
    repeated_tokens: 0,
  };
  for (const one of all) for (const name of /** @type {(keyof Counts)[]} */ (Object.keys(sum))) sum[name] += one[name];
  return sum;
}

/** @param {number | null | undefined} pid */
function kill(pid) {
  const process = known(pid ?? 0);
  if (process === undefined) throw new Error('there is no process to kill');
  sendSignal(process, 'SIGKILL');
}

/** @template T @param {readonly T[]} all @param {number} index */
function at(all, index) {
  const found = all[index];
  if (found === undefined) throw new Error(`there is no program ${index}`);
  return found;
}
