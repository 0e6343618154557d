// @ts-check
import { HumanMessage } from '@langchain/core/messages';
import { AzureChatOpenAI, ChatOpenAI } from '@langchain/openai';
import about from '@langchain/openai/package.json' with { type: 'json' };
import { classOf, hastily, leaving, runCases, served } from './cases.mjs';

const { url, key, model, slowModel, brokenModel, maxTokens, questions, full, crowded, hasty } = served;
const SCHEMA = {
  title: 'answer',
  type: 'object',
  properties: { colour: { type: 'string' } },
  required: ['colour'],
  additionalProperties: false,
};
const TOOL = { type: 'function', function: { name: 'weather', description: '', parameters: { type: 'object' } } };

/** @typedef {{ url?: string, key?: string, model?: string }} Where */

/** Each class with its base URL. By default it would retry six times, which takes a minute. */
const CLASSES = /** @type {Record<string, (where: Where) => any>} */ ({
  ChatOpenAI: (where) => new ChatOpenAI({ ...optionsOf(where), ...baseOf(where) }),
  'ChatOpenAI, Responses': (where) => new ChatOpenAI({ ...optionsOf(where), ...baseOf(where), useResponsesApi: true }),
  AzureChatOpenAI: ({ url: at = url, key: with_ = key, model: deployment = model, ...where }) =>
    new AzureChatOpenAI({
      ...optionsOf(where),
      azureOpenAIEndpoint: at,
      azureOpenAIApiKey: with_,
      azureOpenAIApiDeploymentName: deployment,
      azureOpenAIApiVersion: '2024-10-21',
    }),
});
/** @param {Where} where */
function optionsOf({ model: named = model }) {
  // A client that leaves the slow model needs a running answer.
  const length = named === slowModel ? {} : { maxTokens };
  return { model: named, temperature: 0, maxRetries: 2, ...length };
}
/** @param {Where} where */
function baseOf({ url: at = url, key: with_ = key }) {
  return { apiKey: with_, configuration: { baseURL: `${at}/v1` } };
}

/** @param {any} error */
const describe = (error) => ({
  class: classOf(error),
  status: error.status ?? null,
  code: error.code ?? null,
  message: String(error.message),
});
/** @param {any} message */
const told = ({ text, usage_metadata: usage }) => ({
  text,
  inputTokens: usage?.input_tokens,
  outputTokens: usage?.output_tokens,
});
/** @param {string} text @param {...string} addresses */
const ask = (text, ...addresses) =>
  new HumanMessage({
    content: [
      { type: 'text', text },
      ...addresses.map((address) => ({ type: 'image_url', image_url: { url: address } })),
    ],
  });
/** The result of a stream, joined by the library. @param {any} chat @param {any} messages */
async function streamed(chat, messages) {
  /** @type {any} */
  let all;
  for await (const chunk of await chat.stream(messages)) all = all === undefined ? chunk : all.concat(chunk);
  return all;
}

const first = [new HumanMessage(questions.first)];
const second = new HumanMessage(questions.second);
for (const [name, make] of Object.entries(CLASSES)) {
  const chat = make({});
  await runCases(
    `LangChain ${name}`,
    `@langchain/openai ${about.version}`,
    {
      text: async () => told(await chat.invoke(first)),
      stream: async () => told(await streamed(chat, first)),
      'picture data': async () => told(await chat.invoke([ask(questions.picture, served.png)])),
      'picture address': async () => told(await chat.invoke([ask(questions.picture, served.picture)])),
      'two turns': async () => told(await chat.invoke([...first, await chat.invoke(first), second])),
      'two turns streamed': async () => told(await streamed(chat, [...first, await streamed(chat, first), second])),
      json: async () => ({ json: await chat.withStructuredOutput(SCHEMA, { method: 'jsonSchema' }).invoke(first) }),
      tools: async () => told(await chat.bindTools([TOOL]).invoke(first)),
      'error 400': async () => told(await chat.invoke([ask(questions.picture, served.png, served.png)])),
      'error 401': async () => told(await make({ key: 'wrong' }).invoke(first)),
      'error 429': async () => told(await make(full).invoke(first)),
      'error 503': async () => told(await make(crowded).invoke(first)),
      leave: () => {
        const slow = make({ model: slowModel });
        return leaving((signal) => slow.invoke(first, { signal }), describe, false);
      },
      'leave a stream': () => {
        const slow = make({ model: slowModel });
        const read = async (/** @type {AbortSignal} */ signal, /** @type {() => void} */ something) => {
          for await (const { text } of await slow.stream(first, { signal })) if (text !== '') something();
        };
        return leaving(read, describe, true);
      },
      'error 504': () => hastily(() => make(hasty).invoke(first), describe),
      'broken stream': async () => told(await streamed(make({ model: brokenModel }), first)),
    },
    describe,
  );
}
