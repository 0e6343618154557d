// @ts-check
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { lateStarts, lengthsOf, offer, randomOf } from '../load.mjs';

/**
 * Calls through OpenAI's or Azure's SDK for Node as it comes, with its own retries. Argument: the order as JSON; prints its
 * `Outcome` as one line.
 * @typedef {import('./measure.mjs').Order} Order
 */

/** @type {Order} */
const order = JSON.parse(process.argv[2] ?? '');
const require = createRequire(join(order.folder, 'package.json'));

/** @type {Record<string, (url: string) => Promise<(body: object) => Promise<void>>>} */
const SDKS = {
  openai: async (url) => {
    const { default: OpenAI } = await import(pathToFileURL(require.resolve('openai')).href);
    const client = new OpenAI.OpenAI({ baseURL: `${url}/v1`, apiKey: order.key });
    return async (body) => void (await client.chat.completions.create(body));
  },
  azure: async (url) => {
    const { default: azure } = await import(pathToFileURL(require.resolve('@azure-rest/ai-inference')).href);
    const client = azure.default(url, { key: order.key }, { allowInsecureConnection: true });
    const headers = { 'extra-parameters': 'pass-through' };
    return async (body) => {
      const answer = await client.path('/chat/completions').post({ headers, body });
      if (answer.status !== '200') throw new Error(answer.status);
    };
  },
};

const open = SDKS[order.sdk];
if (open === undefined) throw new Error(`there is no SDK ${order.sdk}`);
const clients = await Promise.all(order.urls.map(open));
const random = randomOf(order.seed);
const length = lengthsOf(random);
/** @type {Record<string, number>} */
const errors = {};
let [count, succeeded] = [0, 0];
const call = async () => {
  const n = count++;
  const content = `question ${n} of ${order.name}`;
  const body = { messages: [{ role: 'user', content }], max_tokens: length(), ignore_eos: true, model: order.model };
  try {
    await clients[n % clients.length]?.(body);
    succeeded += 1;
  } catch (error) {
    const name = error instanceof Error ? `${error.constructor.name} ${error.message}`.slice(0, 90) : String(error);
    errors[name] = (errors[name] ?? 0) + 1;
  }
};
await Promise.all(await offer(order.perSecond, order.seconds, random, call));
const late = lateStarts().toSorted((a, b) => a - b);
console.log(JSON.stringify({ calls: count, succeeded, errors, lateMs: late[Math.floor(late.length * 0.99)] ?? 0 }));
process.exit(0);
