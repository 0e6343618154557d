// @ts-check
import createClient, { isUnexpected } from '@azure-rest/ai-inference';
import { createSseStream } from '@azure/core-sse';
import { membersOf, serve } from './serve.mjs';

/** Drives Azure's inference SDK for Node; surfaces: `host`, and `models` for the unified base URL. */
const BASES = /** @type {Record<string, string>} */ ({ host: '', models: '/models' });

/** This SDK never throws for a status: callers check `isUnexpected` and throw their own error. */
class Unexpected extends Error {
  /** @param {any} response */
  constructor({ status, headers, body }) {
    const { error } = typeof body === 'string' ? JSON.parse(body) : body;
    super(error.message);
    this.status = Number(status);
    this.code = error.code;
    this.details = error.details;
    this.header = headers['x-ms-error-code'];
  }
}

/** @param {import('./serve.mjs').Command} command */
function clientFor({ surface, url, key, retries }) {
  return createClient(
    `${url}${BASES[surface]}`,
    { key },
    {
      allowInsecureConnection: true,
      ...(retries === undefined ? {} : { retryOptions: { maxRetries: retries } }),
    },
  );
}

serve(
  async (command) => {
    const client = clientFor(command);
    const headers = { ...command.headers, ...(command.extras && { 'extra-parameters': 'pass-through' }) };
    const body = /** @type {any} */ ({ ...command.body, ...command.extras });
    switch (command.call) {
      case 'chat': {
        const response = await client.path('/chat/completions').post(/** @type {any} */ ({ headers, body }));
        if (isUnexpected(response)) throw new Unexpected(response);
        const { model, choices, usage } = response.body;
        return {
          model,
          text: choices[0]?.message.content,
          finish: choices[0]?.finish_reason,
          tokens: usage.total_tokens,
        };
      }
      case 'stream':
      case 'leave': {
        const leaving = new AbortController();
        const request = { headers, body: { ...body, stream: true }, abortSignal: leaving.signal };
        const response = await client
          .path('/chat/completions')
          .post(/** @type {any} */ (request))
          .asNodeStream();
        if (response.body === undefined) throw new Error('a stream without a body');
        if (response.status !== '200') {
          let text = '';
          for await (const piece of response.body) text += String(piece);
          throw new Unexpected({ ...response, body: text });
        }
        let text = '';
        for await (const { data } of createSseStream(/** @type {any} */ (response.body))) {
          if (data === '[DONE]') return { text, done: true };
          const { choices, error } = JSON.parse(data);
          if (error !== undefined) throw Object.assign(new Error(error.message), { code: error.code });
          text += choices[0]?.delta.content ?? '';
          if (command.call === 'leave' && text !== '') {
            leaving.abort();
            return { text };
          }
        }
        throw new Error('the stream ended without [DONE]');
      }
      case 'info': {
        const response = await client.path('/info').get();
        if (isUnexpected(response)) throw new Unexpected(response);
        return { model: response.body.model_name, type: response.body.model_type };
      }
      default:
        throw new Error(`this SDK has no ${command.call}`);
    }
  },
  (error) => ({
    class: error?.constructor === Unexpected ? 'isUnexpected()' : error?.constructor.name,
    ...membersOf(error, ['status', 'code', 'message', 'header', 'details']),
  }),
);
