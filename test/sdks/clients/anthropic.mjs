// @ts-check
import Anthropic from '@anthropic-ai/sdk';
import { VERSION } from '@anthropic-ai/sdk/version';
import { classOf, hastily, leaving, runCases, served } from './cases.mjs';

const { url, key, model, slowModel, brokenModel, maxTokens, questions, full, crowded, hasty } = served;
const SYSTEM = 'Be brief.';
const TOOL = { name: 'weather', description: '', input_schema: { type: 'object' } };
const SCHEMA = { type: 'object', properties: { colour: { type: 'string' } }, required: ['colour'] };

/** @param {{ url?: string, key?: string }} where */
const client = ({ url: at = url, key: with_ = key }) =>
  /** @type {any} */ (new Anthropic({ baseURL: at, apiKey: with_ }));
/** @param {any[]} messages @param {object} more */
const body = (messages, more = {}) => ({ model, max_tokens: maxTokens, temperature: 0, messages, ...more });

/** @param {any} error */
const describe = (error) => ({
  class: classOf(error),
  status: error.status ?? null,
  code: error.error?.error?.code ?? null,
  message: String(error.message),
});
/** @param {any} message */
const told = ({ content, usage }) => ({
  text: content.map((/** @type {any} */ { text }) => text).join(''),
  inputTokens: usage.input_tokens,
  outputTokens: usage.output_tokens,
});
const ask = async (/** @type {any[]} */ messages, /** @type {object} */ more = {}, where = {}) =>
  client(where).messages.create(body(messages, more));
/** With the SDK's own stream reader. */
const stream = (/** @type {any[]} */ messages, /** @type {object} */ more = {}) =>
  client({}).messages.stream(body(messages, more)).finalMessage();
/** With the SDK's raw events. */
async function events(/** @type {any[]} */ messages) {
  let text = '';
  let usage = { input_tokens: 0, output_tokens: 0 };
  let isOver = false;
  for await (const event of await ask(messages, { stream: true })) {
    if (event.type === 'message_start') usage = event.message.usage;
    if (event.type === 'content_block_delta') text += event.delta.text;
    if (event.type === 'message_delta') usage = event.usage;
    isOver = event.type === 'message_stop';
  }
  if (!isOver) throw new Error('the stream ended without an end event');
  return { content: [{ type: 'text', text }], usage };
}

/** @param {...object} sources */
const look = (...sources) => [
  {
    role: 'user',
    content: [{ type: 'text', text: questions.picture }, ...sources.map((source) => ({ type: 'image', source }))],
  },
];
const png = { type: 'base64', media_type: 'image/png', data: served.png.split(',')[1] };
const first = [{ role: 'user', content: questions.first }];
const second = { role: 'user', content: questions.second };
/** @param {any} message */
const said = ({ content }) => ({ role: 'assistant', content });
// A client that leaves the slow model needs a running answer.
const slow = { model: slowModel, max_tokens: 1_000 };

await runCases(
  'Anthropic SDK',
  `@anthropic-ai/sdk ${VERSION}`,
  {
    text: async () => told(await ask(first)),
    stream: async () => told(await stream(first)),
    'picture data': async () => told(await ask(look(png))),
    'picture address': async () => told(await ask(look({ type: 'url', url: served.picture }))),
    'two turns': async () => told(await ask([...first, said(await ask(first)), second])),
    'two turns streamed': async () => told(await events([...first, said(await events(first)), second])),
    json: async () => told(await ask(first, { output_config: { format: { type: 'json_schema', schema: SCHEMA } } })),
    tools: async () => told(await ask(first, { tools: [TOOL] })),
    'error 400': async () => told(await ask(look(png, png))),
    'error 401': async () => told(await ask(first, {}, { key: 'wrong' })),
    'error 429': async () => told(await ask(first, { model: full.model }, full)),
    'error 503': async () => told(await ask(first, {}, crowded)),
    leave: () => leaving((signal) => client({}).messages.create(body(first, slow), { signal }), describe, false),
    'leave a stream': () =>
      leaving(
        (signal, something) =>
          client({}).messages.stream(body(first, slow), { signal }).on('text', something).finalMessage(),
        describe,
        true,
      ),
    'broken stream': async () => told(await stream(first, { model: brokenModel })),
    'error 504': () => hastily(() => ask(first, { model: hasty.model }, hasty), describe),
    system: async () => {
      const [bare, with_] = [await ask(first), await ask(first, { system: SYSTEM })];
      return { isLonger: with_.usage.input_tokens > bare.usage.input_tokens };
    },
    'stop sequence': async () => {
      const { stop_reason: reason, stop_sequence: sequence } = await stream(first, { stop_sequences: ['sky', 'Sky'] });
      return { reason, sequence };
    },
    'count tokens': async () => {
      const { input_tokens: inputTokens } = await client({}).messages.countTokens({ model, messages: first });
      return { inputTokens };
    },
  },
  describe,
);
