// @ts-check
import { readFileSync } from 'node:fs';
import { Agent, OpenAIProvider, Runner } from '@openai/agents';
import { classOf, hastily, leaving, runCases, served } from './cases.mjs';

const about = JSON.parse(readFileSync(new URL('../package.json', import.meta.resolve('@openai/agents')), 'utf8'));
const { model, slowModel, brokenModel, questions, full, crowded, hasty } = served;

/** @typedef {{ url?: string, key?: string, model?: string, store?: boolean, more?: object }} Where */

/** An agent, and what runs it. @param {Where} where */
function at({ url = served.url, key: apiKey = served.key, model: named = model, store = true, more }) {
  const modelProvider = new OpenAIProvider({ apiKey, baseURL: `${url}/v1`, useResponses: true });
  const runner = new Runner({ modelProvider, tracingDisabled: true });
  const modelSettings = { temperature: 0, store };
  return { runner, agent: new Agent({ name: 'clerk', model: named, modelSettings, ...more }) };
}

/** @param {Where} where @param {any} input @param {object} [options] @returns {Promise<any>} */
async function whole(where, input, options = {}) {
  const { runner, agent } = at(where);
  return runner.run(agent, input, options);
}

/** @param {Where} where @param {any} input @param {any} [options] @returns {Promise<any>} */
async function streamed(where, input, { something = () => {}, ...options } = {}) {
  const { runner, agent } = at(where);
  const result = await runner.run(agent, input, { ...options, stream: true });
  for await (const event of result)
    if (event.type === 'raw_model_stream_event' && event.data.type === 'output_text_delta') something();
  await result.completed;
  if (result.error) throw result.error;
  return result;
}

/** @param {any} result */
function told({ finalOutput, rawResponses }) {
  const { inputTokens, outputTokens } = rawResponses.at(-1).usage;
  return { text: finalOutput, inputTokens, outputTokens };
}
/** @param {any} error */
const describe = (error) => ({
  class: classOf(error),
  status: error.status ?? null,
  code: error.code ?? null,
  message: String(error.message),
});
/** @param {...string} images data URIs or addresses @returns {any} */
const ask = (...images) => [
  {
    role: 'user',
    content: [
      { type: 'input_text', text: questions.picture },
      ...images.map((image) => ({ type: 'input_image', image })),
    ],
  },
];

const schema = {
  type: 'json_schema',
  name: 'colour',
  strict: true,
  schema: {
    type: 'object',
    properties: { colour: { type: 'string' } },
    required: ['colour'],
    additionalProperties: false,
  },
};
const weather = {
  type: 'function',
  name: 'weather',
  description: '',
  strict: true,
  parameters: { type: 'object', properties: {}, required: [], additionalProperties: false },
  invoke: async () => '',
  needsApproval: async () => false,
  isEnabled: async () => true,
};

for (const [name, store] of /** @type {const} */ ([
  ['OpenAI Agents', false],
  ['OpenAI Agents, previousResponseId, store: true', true],
])) {
  /** @param {typeof whole} turn */
  const twoTurns = async (turn) => {
    const result = await turn({ store }, questions.first);
    if (store) return told(await turn({ store }, questions.second, { previousResponseId: result.lastResponseId }));
    return told(await turn({ store }, [...result.history, { role: 'user', content: questions.second }]));
  };
  const slow = { store, model: slowModel };
  const leaveStream = () =>
    leaving((signal, something) => streamed(slow, questions.first, { signal, something }), describe, true);
  await runCases(
    name,
    `@openai/agents ${about.version}`,
    {
      text: async () => told(await whole({ store }, questions.first)),
      stream: async () => told(await streamed({ store }, questions.first)),
      'picture data': async () => told(await whole({ store }, ask(served.png))),
      'picture address': async () => told(await whole({ store }, ask(served.picture))),
      'two turns': () => twoTurns(whole),
      'two turns streamed': () => twoTurns(streamed),
      json: async () => ({ json: (await whole({ store, more: { outputType: schema } }, questions.first)).finalOutput }),
      tools: async () => told(await whole({ store, more: { tools: [weather] } }, questions.first)),
      'error 400': async () => told(await whole({ store }, ask(served.png, served.png))),
      'error 401': async () => told(await whole({ store, key: 'wrong' }, questions.first)),
      'error 429': async () => told(await whole({ store, ...full }, questions.first)),
      'error 503': async () => told(await whole({ store, ...crowded }, questions.first)),
      leave: () => leaving((signal) => whole(slow, questions.first, { signal }), describe, false),
      'error 504': () => hastily(() => whole({ store, ...hasty }, questions.first), describe),
      'broken stream': async () => told(await streamed({ store, model: brokenModel }, questions.first)),
      ...(store ? {} : { 'leave a stream': leaveStream }),
    },
    describe,
  );
}
