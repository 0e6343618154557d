// @ts-check
import { createAzure } from '@ai-sdk/azure';
import aboutAzure from '@ai-sdk/azure/package.json' with { type: 'json' };
import { createOpenAI } from '@ai-sdk/openai';
import aboutOpenAI from '@ai-sdk/openai/package.json' with { type: 'json' };
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import aboutCompatible from '@ai-sdk/openai-compatible/package.json' with { type: 'json' };
import { Output, generateText, jsonSchema, streamText, tool } from 'ai';
import about from 'ai/package.json' with { type: 'json' };
import { classOf, hastily, leaving, runCases, served } from './cases.mjs';

Reflect.set(globalThis, 'AI_SDK_LOG_WARNINGS', false);
const { model, slowModel, brokenModel, maxTokens, questions, full, crowded, hasty } = served;

/** @typedef {{ url?: string, key?: string, model?: string }} Where */
/** @typedef {{ version: string, make: (at: string, key: string, model: string) => any, options?: object }} Provider */

const openai = (/** @type {string} */ at, /** @type {string} */ apiKey) =>
  createOpenAI({ baseURL: `${at}/v1`, apiKey });
const azure = (/** @type {string} */ at, /** @type {string} */ apiKey) =>
  createAzure({ baseURL: `${at}/openai`, apiKey });
const AZURE = `@ai-sdk/azure ${aboutAzure.version}`;
const PROVIDERS = /** @type {Record<string, Provider>} */ ({
  'openai, Responses': {
    version: `@ai-sdk/openai ${aboutOpenAI.version}`,
    make: (at, key, named) => openai(at, key)(named),
  },
  'openai, Responses, store: false': {
    version: `@ai-sdk/openai ${aboutOpenAI.version}`,
    make: (at, key, named) => openai(at, key)(named),
    options: { openai: { store: false } },
  },
  'openai .chat()': {
    version: `@ai-sdk/openai ${aboutOpenAI.version}`,
    make: (at, key, named) => openai(at, key).chat(named),
  },
  'openai-compatible': {
    version: `@ai-sdk/openai-compatible ${aboutCompatible.version}`,
    make: (at, apiKey, named) =>
      createOpenAICompatible({ name: 'penstock', baseURL: `${at}/v1`, apiKey, includeUsage: true })(named),
  },
  'azure, Responses': { version: AZURE, make: (at, key, named) => azure(at, key)(named) },
  'azure, Responses, store: false': {
    version: AZURE,
    make: (at, key, named) => azure(at, key)(named),
    options: { azure: { store: false } },
  },
  'azure .chat()': { version: AZURE, make: (at, key, named) => azure(at, key).chat(named) },
  'azure .chat(), by deployment': {
    version: AZURE,
    make: (at, apiKey, named) =>
      createAzure({
        baseURL: `${at}/openai`,
        apiKey,
        useDeploymentBasedUrls: true,
        apiVersion: '2024-10-21',
      }).chat(named),
  },
});

/** A `RetryError` contains the last answer's error. @param {any} error */
function describe(error) {
  const last = error.lastError ?? error;
  return {
    class: classOf(error),
    status: last.statusCode ?? null,
    code: last.data?.error?.code ?? null,
    message: String(last.message),
  };
}
/** @param {any} answer */
const told = ({ text, usage }) => ({ text, inputTokens: usage.inputTokens, outputTokens: usage.outputTokens });
/** @param {string} content @returns {any} */
const user = (content) => ({ role: 'user', content });
/** @param {string} text @param {...any} pictures data URIs or addresses @returns {any} */
const ask = (text, ...pictures) => ({
  role: 'user',
  content: [{ type: 'text', text }, ...pictures.map((data) => ({ type: 'file', mediaType: 'image/png', data }))],
});
/** `streamText` does not throw: an error is a part of the stream. @param {any} options */
async function streamed(options) {
  const result = streamText({ ...options, onError: () => {} });
  for await (const part of result.fullStream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'abort') throw new DOMException(part.reason, 'abort part');
    if (part.type === 'text-delta') options.something?.();
  }
  return {
    text: await result.text,
    usage: await result.usage,
    response: await result.response,
    warnings: await result.warnings,
  };
}

for (const [name, { version, make, options = {} }] of Object.entries(PROVIDERS)) {
  const at = (/** @type {Where} */ { url = served.url, key = served.key, model: named = model }) => ({
    model: make(url, key, named),
    temperature: 0,
    maxOutputTokens: maxTokens,
    providerOptions: options,
  });
  const common = at({});
  const first = [user(questions.first)];
  const second = user(questions.second);
  const slow = { model: make(served.url, served.key, slowModel), messages: first };
  const schema = jsonSchema({
    type: 'object',
    properties: { colour: { type: 'string' } },
    required: ['colour'],
    additionalProperties: false,
  });
  const weather = tool({ description: '', inputSchema: jsonSchema({ type: 'object', properties: {} }) });
  await runCases(
    `AI SDK ${name}`,
    `ai ${about.version}, ${version}`,
    {
      text: async () => told(await generateText({ ...common, messages: first })),
      stream: async () => told(await streamed({ ...common, messages: first })),
      'picture data': async () =>
        told(await generateText({ ...common, messages: [ask(questions.picture, served.png)] })),
      'picture address': async () =>
        told(await generateText({ ...common, messages: [ask(questions.picture, new URL(served.picture))] })),
      'two turns': async () => {
        const { response } = await generateText({ ...common, messages: first });
        return told(await generateText({ ...common, messages: [...first, ...response.messages, second] }));
      },
      'two turns streamed': async () => {
        const { response } = await streamed({ ...common, messages: first });
        return told(await streamed({ ...common, messages: [...first, ...response.messages, second] }));
      },
      json: async () => {
        const { output } = await generateText({ ...common, messages: first, output: Output.object({ schema }) });
        return { json: output };
      },
      tools: async () => told(await generateText({ ...common, messages: first, tools: { weather } })),
      'error 400': async () =>
        told(await generateText({ ...common, messages: [ask(questions.picture, served.png, served.png)] })),
      'error 401': async () => told(await generateText({ ...at({ key: 'wrong' }), messages: first })),
      'error 429': async () => told(await generateText({ ...at(full), messages: first })),
      'error 503': async () => told(await generateText({ ...at(crowded), messages: first })),
      leave: () => leaving((abortSignal) => generateText({ ...slow, abortSignal }), describe, false),
      'leave a stream': () =>
        leaving((abortSignal, something) => streamed({ ...slow, abortSignal, something }), describe, true),
      'error 504': () => hastily(() => generateText({ ...at(hasty), messages: first }), describe),
      'broken stream': async () => told(await streamed({ ...at({ model: brokenModel }), messages: first })),
    },
    describe,
  );
}
