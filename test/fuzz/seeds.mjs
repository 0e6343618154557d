// @ts-check
import { TINY_PICTURES } from './tiny-pictures.mjs';

/**
 * A valid request, before changes.
 * @typedef {object} Seed
 * @property {string} method
 * @property {string} path
 * @property {import('./change-json.mjs').Json} [body]
 */

const TEXT = 'What is shown?';
const URIS = TINY_PICTURES.map((bytes, i) => {
  const type = ['png', 'jpeg', 'gif', 'webp'][i] ?? '';
  return `data:image/${type};base64,${bytes.toString('base64')}`;
});
const BASE64 = { type: 'base64', media_type: 'image/png', data: TINY_PICTURES[0]?.toString('base64') ?? '' };
const messages = [{ role: 'user', content: TEXT }];
const talk = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'text', text: TEXT }], name: 'ann' },
  { role: 'assistant', content: 'A valve.' },
  { role: 'user', content: 'And?' },
];
const schema = {
  type: 'object',
  properties: { a: { type: 'string', pattern: '^[a-z]{2,9}$' }, b: { enum: [1, 2] } },
  required: ['a'],
  additionalProperties: false,
};
const parameters = {
  temperature: 0.5,
  top_p: 0.9,
  seed: 7,
  stop: ['END', '\n\n'],
  frequency_penalty: 0.1,
  presence_penalty: 0.1,
};
const openai = {
  ...parameters,
  model: 'Phi-3-vision-128k-instruct',
  logit_bias: { 450: 1, 29901: -5 },
  logprobs: true,
  top_logprobs: 2,
  top_k: 40,
  min_tokens: 1,
  bad_words: ['no'],
  stop_token_ids: [29901],
  user: 'ann',
  metadata: { a: 'b' },
  response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
};
/** @param {string} url */
const withPicture = (url) => [
  {
    role: 'user',
    content: [
      { type: 'image_url', image_url: { url, detail: 'auto' } },
      { type: 'text', text: TEXT },
    ],
  },
];

/** @param {string} pictureUrl a picture that can be fetched @returns {readonly Seed[]} */
export function seeds(pictureUrl) {
  const pictures = [...URIS, pictureUrl];
  const chats = [
    '/v1/chat/completions',
    '/chat/completions',
    '/models/chat/completions',
    '/openai/v1/chat/completions',
    '/openai/deployments/azureai/chat/completions?api-version=2024-10-21',
  ];
  const completions = ['/v1/completions', '/completions', '/openai/v1/completions'];
  const responses = ['/v1/responses', '/openai/responses'];
  /** @param {string} path @param {import('./change-json.mjs').Json} body @returns {Seed} */
  const post = (path, body) => ({ method: 'POST', path, body });
  return [
    ...chats.flatMap((path) => [
      post(path, { messages, max_tokens: 2 }),
      post(path, { messages: talk, max_tokens: 2, stream: true, ...parameters }),
      post(path, { messages, max_tokens: 2, ...openai }),
      ...pictures.map((url) => post(path, { messages: withPicture(url), max_tokens: 2 })),
    ]),
    ...completions.flatMap((path) => [
      post(path, { prompt: TEXT, max_tokens: 2 }),
      post(path, { prompt: [1, 450, 29901], max_tokens: 2, stream: true, ...parameters }),
    ]),
    ...responses.flatMap((path) => [
      post(path, { input: TEXT, max_output_tokens: 16 }),
      post(path, {
        input: [{ role: 'user', content: [{ type: 'input_image', image_url: URIS[0] ?? '' }] }],
        max_output_tokens: 16,
        stream: true,
        text: { format: { type: 'json_schema', name: 'answer', schema, strict: true } },
      }),
    ]),
    post('/score', { input_data: { input_string: talk, parameters: { max_new_tokens: 2, ...parameters } } }),
    ...pictures.map((url) =>
      post('/score', { input_data: { input_string: withPicture(url), parameters: { max_new_tokens: 2 } } }),
    ),
    post('/tokenize', { prompt: TEXT, add_special_tokens: true }),
    post('/tokenize', { messages: withPicture(URIS[1] ?? '') }),
    post('/v1/messages', { messages, max_tokens: 2, system: 'Be brief.', stop_sequences: ['END'], stream: true }),
    post('/v1/messages', {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: BASE64 },
            { type: 'text', text: TEXT },
          ],
        },
      ],
      max_tokens: 2,
      temperature: 0.5,
    }),
    post('/v1/messages/count_tokens', { messages, system: [{ type: 'text', text: 'Be brief.' }] }),
    post('/v1/embeddings', { input: TEXT, model: 'x' }),
    ...[
      '/',
      '/v1/models',
      '/v1/models/Phi-3-vision-128k-instruct',
      '/openai/models',
      '/info',
      '/models/info',
      '/openapi.json',
      '/swagger.json',
      '/docs',
      '/docs/index.css',
      '/health',
      '/v1/batches',
    ].map((path) => ({ method: 'GET', path })),
  ];
}
