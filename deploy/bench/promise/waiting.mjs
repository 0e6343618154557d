// @ts-check
import { setTimeout as pause } from 'node:timers/promises';
import { Agent } from 'undici';
import { percent } from './figures.mjs';
import { MODEL, startStack } from './stack.mjs';

const WAITING = 2_000;
const ENDLESS_TOKENS = 4_000;
/** Until all streams have their first keep-alive, and the rest is over. */
const SETTLE_MS = 25_000;

/**
 * CPU time of what waits: streams in the queue, whose comments have position and moment.
 * @param {import('./stack.mjs').Size} size @param {number} forSeconds @param {boolean} fromTheFirstSecond with `x-penstock-progress`
 * @returns {Promise<import('./figures.mjs').Figures>} shares of a core
 */
export async function measureWaiting(size, forSeconds, fromTheFirstSecond) {
  const gatewayEnv = { GATEWAY_QUEUE_LIMIT_JOBS: String(WAITING * 2) };
  const stack = await startStack({ size: { ...size, tokenMs: 5_000 }, keys: { a: 1 }, gatewayEnv });
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  let comments = 0;
  const ask = async (/** @type {number} */ n) => {
    const progress = fromTheFirstSecond ? { 'x-penstock-progress': '1' } : {};
    const answer = await agent.request({
      origin: String(stack.urls[n % stack.urls.length]),
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { 'content-type': 'application/json', ...stack.headersOf('a'), ...progress },
      body: JSON.stringify({
        model: MODEL,
        stream: true,
        messages: [{ role: 'user', content: `question ${n}` }],
        max_tokens: ENDLESS_TOKENS,
        ignore_eos: true,
      }),
    });
    for await (const bytes of answer.body) comments += String(bytes).split(': waiting').length - 1;
  };
  try {
    const idle = stack.cpu();
    await pause(forSeconds * 1_000);
    const before = stack.cpu();
    for (let n = 0; n < stack.slots + WAITING; n += 1) {
      void ask(n).catch(() => {});
      if (n % 50 === 0) await pause(100);
    }
    await pause(SETTLE_MS);
    const [from, told] = [stack.cpu(), comments];
    await pause(forSeconds * 1_000);
    const to = stack.cpu();
    const more = (/** @type {'gateways' | 'redis'} */ who, /** @type {number} */ programs) =>
      percent((to[who] - from[who] - (before[who] - idle[who])) / forSeconds / programs);
    return {
      waiting: await stack.waiting(),
      'comments a second': Math.round((comments - told) / forSeconds),
      'each gateway: more of a core': more('gateways', stack.urls.length),
      'Redis: more of a core': more('redis', 1),
    };
  } finally {
    await agent.destroy();
    await stack.end();
  }
}
