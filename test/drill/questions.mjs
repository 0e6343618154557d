// @ts-check
import { Agent, request } from 'undici';
import { z } from 'zod';
import { png } from '../conformance/requests.mjs';
import { freePort } from '#runtime/free-port';
import { startProgram, until } from './processes.mjs';

/**
 * One request and its form: an OpenAI stream, the same not streamed, or `/score`, which never streams.
 * @typedef {object} Question
 * @property {number} number
 * @property {'stream' | 'whole' | 'score'} kind
 * @property {boolean} wantsUsage
 * @property {string} path
 * @property {object} body
 * @property {object} plain the engine's request for it, not streamed
 */

/** The answer of an undisturbed engine. @typedef {{ text: string, usage: { prompt_tokens: number, completion_tokens: number } }} Expected */

const KINDS = /** @type {const} */ (['stream', 'whole', 'stream', 'score']);
const PICTURE_EVERY = 10;
const PICTURE = `data:image/png;base64,${png(64, 48).toString('base64')}`;
const ANSWERS_WITHIN_MS = 60_000;
const Answer = z.object({
  choices: z.tuple([z.object({ message: z.object({ content: z.string() }) })]),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }),
});

/**
 * The questions of a drill: all different, so that no answer can be mistaken for another's.
 * @param {number} number @param {number} tokens longest answer @param {Question['kind']} [only]
 * @returns {Question}
 */
export function question(number, tokens, only) {
  const kind = only ?? KINDS[number % KINDS.length] ?? 'stream';
  const text = `Drill question ${number}: what does the picture of valve ${number * 7} show?`;
  const picture = only === undefined && number % PICTURE_EVERY === PICTURE_EVERY - 1;
  const content = picture
    ? [
        { type: 'text', text },
        { type: 'image_url', image_url: { url: PICTURE } },
      ]
    : text;
  const messages = [{ role: 'user', content }];
  const plain = { messages, max_tokens: tokens, temperature: 0 };
  const wantsUsage = kind === 'stream' && number % 3 === 0;
  const parameters = { max_new_tokens: tokens, temperature: 0 };
  /** @type {Record<Question['kind'], object>} */
  const bodies = {
    stream: { ...plain, stream: true, ...(wantsUsage ? { stream_options: { include_usage: true } } : {}) },
    whole: plain,
    score: { input_data: { input_string: messages, parameters } },
  };
  const path = kind === 'score' ? '/score' : '/v1/chat/completions';
  return { number, kind, wantsUsage, path, body: bodies[kind], plain };
}

/**
 * An undisturbed simulator: its answers depend only on the question, so they are the expected ones.
 * @typedef {{ expected: (question: Question) => Promise<Expected>, stop: () => Promise<void> }} Oracle
 */

/** @returns {Promise<Oracle>} */
export async function startOracle() {
  const port = await freePort();
  const flags = ['--served-model-name', 'oracle', '--mm-processor-kwargs', '{"num_crops":16}', '--host', '127.0.0.1'];
  const args = ['dist/worker-launcher/simulator/main.js', 'serve', 'oracle', ...flags, '--port', String(port)];
  const program = startProgram(process.execPath, args, { PATH: process.env['PATH'] });
  const url = `http://127.0.0.1:${port}`;
  await until('the undisturbed engine answers', async () => (await fetch(`${url}/health`)).ok, ANSWERS_WITHIN_MS);
  // One connection per question, because a kept one may close just as a question is sent.
  const dispatcher = new Agent({ pipelining: 0 });
  /** @type {Map<string, Promise<Expected>>} */
  const answers = new Map();
  /** @param {string} body @returns {Promise<Expected>} */
  const ask = async (body) => {
    const headers = { 'content-type': 'application/json' };
    const options = /** @type {const} */ ({ method: 'POST', headers, body, dispatcher });
    const answer = await request(`${url}/v1/chat/completions`, options);
    if (answer.statusCode !== 200) throw new Error(`the undisturbed engine refused: ${await answer.body.text()}`);
    const { choices, usage } = Answer.parse(await answer.body.json());
    return { text: choices[0].message.content, usage };
  };
  return {
    expected: ({ plain }) => {
      const body = JSON.stringify(plain);
      const known = answers.get(body) ?? ask(body);
      answers.set(body, known);
      return known;
    },
    stop: async () => {
      program.signal('SIGKILL');
      await program.exited;
      await dispatcher.destroy();
    },
  };
}
