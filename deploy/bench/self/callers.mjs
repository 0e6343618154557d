// @ts-check
/** @typedef {import('undici').Pool} Pool */

const PATH = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'How does a penstock work? '.repeat(8) }];
const PLAIN = { messages, max_tokens: 16 };

/**
 * Sends one request and reads the complete answer.
 * @param {Pool} pool @param {object | Buffer} body @param {string} [key] idempotency key
 * @returns {Promise<{ chunks: number, whole: boolean }>}
 */
async function ask(pool, body, key) {
  const headers = { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) };
  const bytes = Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const res = await pool.request({ path: PATH, method: 'POST', headers, body: bytes });
  let chunks = 0;
  let tail = '';
  for await (const piece of res.body) {
    const text = String(piece);
    chunks += text.split('data: {').length - 1;
    tail = (tail + text).slice(-20);
  }
  return { chunks, whole: res.statusCode === 200 && (chunks === 0 || tail.endsWith('[DONE]\n\n')) };
}

/**
 * Non-streamed requests, some at a time.
 * @param {Pool} pool @param {number} count @param {number} atATime @param {object | Buffer} [body]
 * @returns {Promise<number>} `count`
 * @throws Error if one fails
 */
export async function askPlain(pool, count, atATime, body = PLAIN) {
  let left = count;
  const caller = async () => {
    while (left > 0) {
      left -= 1;
      if (!(await ask(pool, body)).whole) throw new Error('a request failed');
    }
  };
  await Promise.all(Array.from({ length: atATime }, caller));
  return count;
}

/**
 * Streams, all at the same time.
 * @param {Pool} pool @param {number} count @param {number} tokens of each @param {() => string} [newKey] idempotency keys
 * @returns {Promise<number>} chunks
 * @throws Error if one is incomplete
 */
export async function askStreams(pool, count, tokens, newKey) {
  const body = { messages, max_tokens: tokens, stream: true, ignore_eos: true };
  const answers = await Promise.all(Array.from({ length: count }, () => ask(pool, body, newKey?.())));
  if (!answers.every(({ whole }) => whole)) throw new Error('a stream was incomplete');
  return answers.reduce((sum, { chunks }) => sum + chunks, 0);
}
