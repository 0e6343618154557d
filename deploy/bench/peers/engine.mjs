// @ts-check
/**
 * A fast engine for `npm run bench`: it answers as `vllm serve` does, without a model. Every answer is bytes that were made once,
 * so that it costs less than any gateway. A stream has as many tokens as `max_tokens` requests, one every 20 ms.
 *
 * usage: node engine.mjs [serve …] (--uds PATH | --port N) [--served-model-name NAME …] [--processes N] [--token-ms N]
 */
import cluster from 'node:cluster';
import { unlinkSync } from 'node:fs';
import { createServer } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

/** @param {string} flag */
const valueOf = (flag) => {
  const at = process.argv.indexOf(flag);
  return at === -1 ? undefined : process.argv[at + 1];
};
const model = valueOf('--served-model-name') ?? 'bench';
/** They share one socket. */
const processes = Number(valueOf('--processes') ?? 1);
/** Time between two tokens. The first token is sent immediately. */
const TOKEN_MS = Number(valueOf('--token-ms') ?? 20);

/** @param {string} type @param {string} body @param {string} [status] */
const answer = (type, body, status = '200 OK') =>
  Buffer.from(
    `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
/** @param {string} text */
const frame = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
/** @param {string} data */
const event = (data) => frame(`data: ${data}\n\n`);

const ID = '"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion';
const USAGE = '"usage":{"prompt_tokens":24,"total_tokens":40,"completion_tokens":16,"prompt_tokens_details":null}';
const FULL = answer(
  'application/json',
  `{${ID}","created":1760000000,"model":"${model}","choices":[{"index":0,"message":{"role":"assistant",` +
    '"content":"The capital of France is Paris. It lies on the Seine and has been the seat of government for centuries.",' +
    '"refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning_content":null},' +
    '"logprobs":null,"finish_reason":"stop","stop_reason":null}],"service_tier":null,"system_fingerprint":null,' +
    `${USAGE},"prompt_logprobs":null,"kv_transfer_params":null}`,
);
const CHUNK = `{${ID}.chunk","created":1760000000,"model":"${model}","choices":[`;
const STREAM_HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n' +
  event(`${CHUNK}{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`);
const TOKENS = Array.from({ length: 1_000 }, (_, i) =>
  Buffer.from(
    event(
      `${CHUNK}{"index":0,"delta":{"content":" w${String(i).padStart(3, '0')}"},"logprobs":null,"finish_reason":null,"token_ids":null}]}`,
    ),
  ),
);
const FINISH = event(
  `${CHUNK}{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"length","stop_reason":null}]}`,
);
const USAGE_EVENT = event(`${CHUNK}],${USAGE}}`);
const DONE = `${event('[DONE]')}0\r\n\r\n`;

const about = JSON.stringify({
  model_path: model,
  served_model_name: model,
  is_generation: true,
  tp_size: 1,
  dp_size: 1,
});
/** Answers to the questions that gateways send to an engine besides requests. @type {Record<string, Buffer>} */
const PAGES = {
  '/health': answer('text/plain', ''),
  '/ping': answer('text/plain', ''),
  '/health_generate': answer('text/plain', ''),
  '/metrics': answer(
    'text/plain',
    `# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name="${model}"} 0\n`,
  ),
  '/version': answer('application/json', '{"version":"0.24.0"}'),
  '/v1/models': answer(
    'application/json',
    JSON.stringify({
      object: 'list',
      data: [{ id: model, object: 'model', owned_by: 'vllm', root: model, max_model_len: 131_072 }],
    }),
  ),
  '/get_server_info': answer('application/json', about),
  '/server_info': answer('application/json', about),
  '/get_model_info': answer('application/json', about),
  '/model_info': answer('application/json', about),
};
const NOT_FOUND = answer('application/json', '{"detail":"Not Found"}', '404 Not Found');

/**
 * @typedef {object} Stream
 * @property {import('node:net').Socket} socket
 * @property {number} sent tokens
 * @property {number} wanted tokens
 * @property {boolean} usage
 */
/** Streams by the millisecond of their next token: one timer for all of them. @type {Stream[][]} */
const wheel = Array.from({ length: TOKEN_MS }, () => []);
let tick = Math.floor(performance.now());

/** @param {Stream} stream @returns {boolean} whether the stream goes on */
const step = (stream) => {
  const { socket } = stream;
  if (socket.destroyed) return false;
  const token = TOKENS[stream.sent % TOKENS.length] ?? '';
  stream.sent += 1;
  if (stream.sent < stream.wanted) {
    socket.write(token);
    return true;
  }
  socket.write(`${String(token)}${FINISH}${stream.usage ? USAGE_EVENT : ''}${DONE}`, 'latin1');
  return false;
};
const ticks = setInterval(() => {
  for (const now = Math.floor(performance.now()); tick < now;) {
    tick += 1;
    const slot = tick % TOKEN_MS;
    const due = wheel[slot] ?? [];
    if (due.length > 0) wheel[slot] = due.filter(step);
  }
}, 1);

/** The value after a key of a JSON body. @param {Buffer} body @param {string} key */
const after = (body, key) => {
  const at = body.indexOf(`"${key}"`);
  return at === -1 ? '' : body.toString('latin1', at + key.length + 2, at + key.length + 20).replace(/^\s*:\s*/, '');
};

/** @param {import('node:net').Socket} socket @param {string} path @param {Buffer} body */
const reply = (socket, path, body) => {
  if (!path.endsWith('/chat/completions')) {
    socket.write(PAGES[path] ?? NOT_FOUND);
  } else if (after(body, 'stream').startsWith('true')) {
    socket.write(STREAM_HEAD, 'latin1');
    // sglang-router sends the second name for the first one.
    const wanted =
      Number.parseInt(after(body, 'max_tokens'), 10) || Number.parseInt(after(body, 'max_completion_tokens'), 10) || 16;
    const stream = { socket, sent: 0, wanted, usage: after(body, 'include_usage').startsWith('true') };
    if (step(stream)) wheel[tick % TOKEN_MS]?.push(stream);
  } else {
    socket.write(FULL);
  }
};

/** The body of a chunked request, if it is complete. @param {Buffer} bytes @param {number} from */
const unchunked = (bytes, from) => {
  const parts = [];
  for (let at = from; ;) {
    const end = bytes.indexOf('\r\n', at);
    if (end === -1) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, end), 16);
    if (bytes.length < end + 2 + size + 2) return undefined;
    if (size === 0) return { body: Buffer.concat(parts), end: end + 4 };
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
};

/** The first complete request of the bytes. @param {Buffer} bytes */
const readRequest = (bytes) => {
  const headEnd = bytes.indexOf(HEAD_END);
  if (headEnd === -1) return undefined;
  const head = bytes.toString('latin1', 0, headEnd);
  const path = (head.split(' ', 2)[1] ?? '').split('?')[0] ?? '';
  const start = headEnd + HEAD_END.length;
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    const found = unchunked(bytes, start);
    return found === undefined ? undefined : { path, ...found, needs: 0 };
  }
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  const end = start + length;
  if (bytes.length < end) return { path, body: undefined, end, needs: end };
  return { path, body: bytes.subarray(start, end), end, needs: 0 };
};

const server = createServer({ noDelay: true }, (socket) => {
  /** @type {Buffer[]} */
  let parts = [];
  let size = 0;
  let needs = 0;
  socket.on('error', () => socket.destroy());
  socket.on('data', (/** @type {Buffer} */ data) => {
    parts.push(data);
    size += data.length;
    while (size > 0 && size >= needs) {
      const bytes = parts.length === 1 ? /** @type {Buffer} */ (parts[0]) : Buffer.concat(parts);
      const request = readRequest(bytes);
      needs = request?.needs ?? 0;
      if (request?.body === undefined) {
        parts = [bytes];
        return;
      }
      reply(socket, request.path, request.body);
      size = bytes.length - request.end;
      parts = size === 0 ? [] : [bytes.subarray(request.end)];
    }
  });
});

const uds = valueOf('--uds');
if (uds !== undefined && cluster.isPrimary) {
  try {
    unlinkSync(uds);
  } catch {
    // The socket of an earlier engine; usually there is none.
  }
}
if (cluster.isPrimary && processes > 1) {
  clearInterval(ticks);
  for (let i = 0; i < processes; i += 1) cluster.fork();
} else if (uds === undefined) {
  server.listen({ port: Number(valueOf('--port') ?? 8000), host: '127.0.0.1', backlog: 4_096 });
} else {
  server.listen({ path: uds, backlog: 4_096 });
}
for (const signal of /** @type {const} */ (['SIGTERM', 'SIGINT'])) process.once(signal, () => process.exit(0));
