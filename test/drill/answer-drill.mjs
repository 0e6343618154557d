// @ts-check
import { setTimeout as pause } from 'node:timers/promises';
import { askEngine } from '../support/engine-request.mjs';
import { runDrill } from './drill.mjs';
import { Load } from './load.mjs';
import { known, sendSignal } from './processes.mjs';
import { startRedisPair } from './redis-pair.mjs';
import { APIS, ResumedStream } from './resumed-stream.mjs';

const TOKENS = { least: 20, most: 400 };
const CUTS = 3;
/** bytes of an event, about */
const EVENT_BYTES = 300;

/** Always the same numbers, so that a drill can be repeated. @param {number} seed */
function randomFrom(seed) {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 374_761_393) >>> 0;
    return state / 2 ** 32;
  };
}

/** Streams that lose their connections and are resumed at other gateways. */
class ResumedLoad extends Load {
  /** failures of streams that should have gone on @type {string[]} */
  lost = [];
  /** @type {Map<string, number>} */
  failed = new Map();
  /** tokens that the clients have */
  tokens = 0;
  #scene;
  #hungAfterMs;

  /** @param {import('./drill.mjs').Scene} scene @param {number} everyMs */
  constructor(scene, everyMs) {
    super({ requests: 0, url: () => '', oracle: scene.setup.oracle });
    this.#scene = scene;
    this.#hungAfterMs = scene.setup.short ? 60_000 : 120_000;
    const all = Array.from({ length: scene.setup.requests }, async (_, number) => {
      await pause(number * everyMs);
      await this.#one(number);
    });
    this.ended = Promise.all(all).then(() => {});
  }

  #url(turn = 0) {
    const running = this.#scene.stack.runningGateways();
    return running[turn % running.length]?.url ?? '';
  }

  /** @param {number} number */
  async #one(number) {
    const api = APIS[number % APIS.length];
    if (api === undefined) return;
    const random = randomFrom(number);
    const tokens = Math.round(TOKENS.least + random() * (TOKENS.most - TOKENS.least));
    const text = `Drill question ${number}: what does valve ${number * 7} do?`;
    const stream = new ResumedStream(api, `drill-${number}`, text, tokens);
    this.ledger.sent();
    const until = performance.now() + this.#hungAfterMs;
    const cuts = 1 + Math.floor(random() * CUTS);
    for (let turn = 0; !stream.isOver && performance.now() < until; turn += 1) {
      const cutAfter = turn < cuts ? random() * ((tokens * EVENT_BYTES) / cuts) : Infinity;
      await stream.read(this.#url(number + turn), cutAfter);
      if (turn === 0) this.begun += 1;
    }
    this.tokens += stream.tokens;
    this.ledger.ended(await this.#judge(api, stream, { number, text, tokens, until }), stream.longestGapMs);
  }

  /**
   * Reads the whole again, as another client.
   * @param {import('./resumed-stream.mjs').Api} api @param {ResumedStream} stream
   * @param {{ number: number, text: string, tokens: number, until: number }} of
   * @returns {Promise<{ end: import('./ledger.mjs').End, why: string }>}
   */
  async #judge(api, stream, { number, text, tokens, until }) {
    const name = `${api.name} ${number}`;
    if (stream.wrong !== '') return { end: 'truncated', why: `${name}: ${stream.wrong}` };
    if (!stream.isOver) return { end: 'hung', why: `${name}: ${stream.events.length} events` };
    if (stream.failure !== undefined) {
      const why = `${api.name}: ${stream.failure}`;
      this.failed.set(why, (this.failed.get(why) ?? 0) + 1);
      if (api.goesOn) this.lost.push(`${name}: ${stream.failure}`);
      return { end: 'error', why };
    }
    const { text: right } = await this.#scene.setup.oracle.expected({
      number,
      kind: 'stream',
      wantsUsage: false,
      path: api.path,
      body: {},
      plain: { messages: [{ role: 'user', content: text }], max_tokens: tokens, temperature: 0 },
    });
    if (api.goesOn && stream.text !== right) {
      const end = right.startsWith(stream.text) ? 'truncated' : 'duplicated';
      return { end, why: `${name}: ${stream.text.length} of ${right.length} characters` };
    }
    if (api.resumedBy === 'starting_after') return { end: 'complete', why: '' };
    const other = new ResumedStream(api, `drill-${number}`, text, tokens);
    while (!other.isOver && performance.now() < until) await other.read(this.#url(number + 1));
    if (other.wrong !== '') return { end: 'truncated', why: `${name}, read again: ${other.wrong}` };
    const isSame = other.events.join('') === stream.events.join('');
    return isSame
      ? { end: 'complete', why: '' }
      : {
          end: 'truncated',
          why: `${name}: another reader has other bytes: ${difference(stream.events, other.events)}`,
        };
  }
}

/** @param {readonly string[]} events @param {readonly string[]} others */
function difference(events, others) {
  const at = events.findIndex((event, index) => event !== others[index]);
  return `${events.length} and ${others.length} events, at ${at}: ${events[at]} and ${others[at]}`;
}

/** @param {number | null | undefined} pid */
function kill(pid) {
  const target = known(pid ?? 0);
  if (target !== undefined) sendSignal(target, 'SIGKILL');
}

/** Tokens that engines made, those of dead engines as of the last reading. */
class MadeTokens {
  /** by process id @type {Map<number, number>} */
  #made = new Map();
  #stack;

  /** @param {import('./stack.mjs').Stack} stack */
  constructor(stack) {
    this.#stack = stack;
  }

  async read() {
    for (const engine of await this.#stack.engines()) {
      if (engine.state !== 'ready') continue;
      const page = await (await askEngine(engine, '/metrics')).text();
      const made = /^vllm:generation_tokens_total\{.*\} (\S+)$/m.exec(page)?.[1];
      this.#made.set(engine.pid ?? 0, Number(made));
    }
    return [...this.#made.values()].reduce((sum, tokens) => sum + tokens, 0);
  }
}

/** What Redis takes in this time before its end is lost, and how long there is none, in ms. */
const LOST_MS = 300;
const DOWN_MS = 1_000;
/** In this time dispatchers write again what was lost, in ms: what is lost with its dispatcher ends in an error. */
const RESTORED_WITHIN_MS = 3_000;

/** What an engine has made of a stream that no log has when its engine or dispatcher dies: half a second. */
const UNDELIVERED_TOKENS = 25;

/** @type {import('./drill.mjs').Drill} */
export const answers = {
  name: 'answers',
  about:
    'streams of all APIs, cut and resumed at other gateways, while a gateway, a dispatcher and an engine are killed, and the first Redis fails over without its last 0.3 s',
  run: async (setup) => {
    const pair = await startRedisPair();
    try {
      return await runDrill(setup, {
        stack: { gateways: 3, launchers: 3, gatewayEnv: { GATEWAY_REQUEST_TIMEOUT_MS: '120000' }, ...pair.stack },
        fault: (scene) => killOneByOne(scene, pair),
      });
    } finally {
      await pair.stop();
    }
  },
};

/** @param {import('./drill.mjs').Scene} scene @param {Awaited<ReturnType<typeof startRedisPair>>} pair */
async function killOneByOne(scene, pair) {
  const { setup, stack } = scene;
  const load = new ResumedLoad(scene, Math.max(30, 6_000 / setup.requests));
  scene.loads.push(load);
  /** @param {number} share of the streams that have begun */
  const after = async (share) => {
    while (load.begun < setup.requests * share) await pause(20);
  };
  const made = new MadeTokens(stack);
  const before = await made.read();
  await after(1 / 6);
  stack.gateways[0]?.signal('SIGKILL');
  await after(2 / 6);
  pair.silence();
  await pause(LOST_MS);
  await pair.kill();
  await pause(DOWN_MS);
  await pair.promote();
  await pause(RESTORED_WITHIN_MS);
  await after(3 / 6);
  await made.read();
  const [first, second] = stack.launchers;
  const [engine] = first === undefined ? [] : (await stack.status(first)).engines;
  kill(engine?.pid);
  // Late, because no stream is continued twice, and this loss shows only after seconds.
  await after(5 / 6);
  const [dispatcher] = second === undefined ? [] : (await stack.status(second)).dispatchers;
  kill(dispatcher?.pid);
  await load.ended;
  // A token that ends an answer has no text.
  const all = (await made.read()) - before;
  scene.note(`tokens: engines made ${all}, clients have ${load.tokens}`);
  const disturbed = load.ledger.row.errors + (await stack.metric('penstock_repeats_total'));
  const most = load.tokens + setup.requests + disturbed * UNDELIVERED_TOKENS;
  scene.check(all <= most, `engines made ${all} tokens, more than ${most}`);
  for (const text of load.lost) scene.check(false, `should have gone on: ${text}`);
  for (const [why, count] of load.failed) scene.note(`failed ${why}: ${count}`);
}
