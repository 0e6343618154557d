// @ts-check
import { setTimeout } from 'node:timers/promises';
import OpenAI, { AzureOpenAI } from 'openai';
import { membersOf, serve } from './serve.mjs';

/** Drives OpenAI's SDK for Node; surfaces: `v1`, `v1-slash`, `azure` (the class AzureOpenAI), `azure-v1`. */
const BASES = /** @type {Record<string, string>} */ ({ v1: '/v1', 'v1-slash': '/v1/', 'azure-v1': '/openai/v1' });

/** @param {import('./serve.mjs').Command} command */
function clientFor({ surface, url, key, retries }) {
  const options = { apiKey: key, ...(retries === undefined ? {} : { maxRetries: retries }) };
  const base = BASES[surface];
  return base === undefined
    ? new AzureOpenAI({ endpoint: url, apiVersion: '2024-10-21', ...options })
    : new OpenAI({ baseURL: url + base, ...options });
}

serve(
  async (command) => {
    const client = /** @type {any} */ (clientFor(command));
    const body = /** @type {any} */ ({ ...command.body, ...command.extras });
    switch (command.call) {
      case 'chat': {
        const { model, choices, usage } = await client.chat.completions.create(body);
        return {
          model,
          text: choices[0].message.content,
          finish: choices[0].finish_reason,
          tokens: usage.total_tokens,
        };
      }
      case 'stream':
      case 'leave': {
        let text = '';
        const { headers = {} } = command;
        const stream = await client.chat.completions.create({ ...body, stream: true }, { headers });
        for await (const { choices } of stream) {
          text += choices[0]?.delta.content ?? '';
          if (command.call === 'leave' && text !== '') stream.controller.abort();
        }
        return { text };
      }
      case 'completion': {
        const { model, choices } = await client.completions.create(body);
        return { model, text: choices[0].text };
      }
      case 'completionStream': {
        let text = '';
        const stream = await client.completions.create({ ...body, stream: true });
        for await (const { choices } of stream) text += choices[0]?.text ?? '';
        return { text };
      }
      case 'models':
        return { ids: (await client.models.list()).data.map((/** @type {OpenAI.Model} */ { id }) => id) };
      case 'model':
        return { model: (await client.models.retrieve(body.model)).id };
      case 'response': {
        const { model, output_text: text } = await client.responses.create(body);
        return { model, text };
      }
      case 'responseStream': {
        let text = '';
        const stream = await client.responses.create({ ...body, stream: true });
        for await (const { type, delta } of stream) text += type === 'response.output_text.delta' ? delta : '';
        return { text };
      }
      case 'background': {
        const begun = await client.responses.create({ ...body, background: true });
        let { status, output_text: text } = begun;
        while (status === 'queued' || status === 'in_progress') {
          await setTimeout(50);
          ({ status, output_text: text } = await client.responses.retrieve(begun.id));
        }
        return { status, text };
      }
      case 'resume': {
        let text = '';
        let [id, last] = ['', -1];
        const first = await client.responses.create({ ...body, background: true, stream: true });
        for await (const event of first) {
          if (event.type === 'response.created') id = event.response.id;
          if (event.type === 'response.output_text.delta') text += event.delta;
          last = event.sequence_number;
          if (text !== '') break;
        }
        const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
        for await (const { type, delta } of rest) text += type === 'response.output_text.delta' ? delta : '';
        const whole = await client.responses.stream({ response_id: id }).finalResponse();
        return { text, status: whole.status, whole: whole.output_text };
      }
      case 'cancel': {
        const { id } = await client.responses.create({ ...body, background: true });
        return { status: (await client.responses.cancel(id)).status };
      }
      case 'delete': {
        const { id } = await client.responses.create({ ...body, store: true });
        await client.responses.delete(id);
        return await client.responses.retrieve(id);
      }
      case 'follow': {
        const { input, next, ...rest } = body;
        const { id } = await client.responses.create({ ...rest, input, store: true });
        const { output_text: text } = await client.responses.create({ ...rest, input: next, previous_response_id: id });
        const { data } = await client.responses.inputItems.list(id);
        return { text, whole: data[0].content[0].text };
      }
      default:
        throw new Error(`this SDK has no ${command.call}`);
    }
  },
  (error) => ({ class: error?.constructor.name, ...membersOf(error, ['status', 'code', 'message']) }),
);
