// @ts-check
// Checks of `helm test` and of the Job of hooks.verify, in the gateway's image: node checks.mjs api|completion|pools
const { PUBLIC_URL, INTERNAL_URL, MODELS = '', POOLS = '', KEY = '' } = process.env;
const withinMs = Number(process.env['WITHIN_SECONDS'] ?? 60) * 1_000;
const stableMs = Number(process.env['STABLE_SECONDS'] ?? 0) * 1_000;
/** @param {string} text */
const list = (text) => text.split(',').filter((item) => item !== '');
const headers = { 'content-type': 'application/json', ...(KEY === '' ? {} : { authorization: `Bearer ${KEY}` }) };
const RETRY_MS = 2_000;
const endsAt = Date.now() + withinMs;

/**
 * Right after `helm install` the gateway does not listen yet, or has no engine. So a request is repeated, within
 * this check's time, until an answer arrives that is not 503.
 * @param {string} url @param {RequestInit} [options] @returns {Promise<Response>}
 */
async function call(url, options = {}) {
  for (;;) {
    const signal = AbortSignal.timeout(Math.max(1, endsAt - Date.now()));
    const answer = await fetch(url, { signal, ...options }).catch((cause) => new Error(`${url}: ${reason(cause)}`));
    const isLast = Date.now() + RETRY_MS >= endsAt;
    if (answer instanceof Response && (answer.status !== 503 || isLast)) return answer;
    if (answer instanceof Error && isLast) throw answer;
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

/** fetch hides the reason, such as a refused connection, in the cause. @param {any} error */
const reason = (error) => String(error?.cause?.message || error?.cause?.code || error);

/** @param {boolean} holds @param {string} sentence @returns {asserts holds} */
function insist(holds, sentence) {
  if (!holds) throw new Error(sentence);
}

async function api() {
  const ready = await call(`${INTERNAL_URL}/readyz`);
  insist(ready.status === 200, `/readyz answers ${ready.status}`);
  const models = await call(`${PUBLIC_URL}/v1/models`, { headers });
  if (KEY === '') {
    insist(models.status === 401, `/v1/models answers ${models.status} without a key`);
    return 'ready; a request without a key is refused (set tests.existingSecret for checks with a key)';
  }
  insist(models.status === 200, `/v1/models answers ${models.status}`);
  const { data } = /** @type {{ data: { id: string }[] }} */ (await models.json());
  const served = data.map(({ id }) => id);
  const missing = list(MODELS).filter((name) => !served.includes(name));
  insist(missing.length === 0, `/v1/models lacks ${missing.join(', ')}`);
  return `ready; serves ${served.join(', ')}`;
}

async function completion() {
  for (const model of list(MODELS)) {
    /** @param {boolean} stream */
    const ask = (stream) =>
      call(`${PUBLIC_URL}/v1/chat/completions`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ model, stream, max_tokens: 8, messages: [{ role: 'user', content: 'Say hello.' }] }),
      });
    const whole = await ask(false);
    const text = await whole.text();
    insist(whole.status === 200, `${model} answers ${whole.status}: ${text.slice(0, 300)}`);
    /** @type {{ choices: { message: { content: string } }[] }} */
    const { choices } = JSON.parse(text);
    insist((choices[0]?.message.content ?? '') !== '', `${model} sent an empty answer`);
    const streamed = await ask(true);
    insist(streamed.status === 200, `${model}, streamed, answers ${streamed.status}`);
    insist((await streamed.text()).includes('data: [DONE]'), `the stream of ${model} ends without [DONE]`);
  }
  return `${MODELS}: a plain and a streamed answer`;
}

/** Every pool has a ready engine for `stableMs`, because the old workers of an upgrade exit at its start. */
async function pools() {
  /** @type {number | undefined} */
  let since;
  for (;;) {
    const missing = await poolsWithoutEngine().catch((cause) => [`the gateway does not answer (${String(cause)})`]);
    if (missing.length > 0) since = undefined;
    else since ??= Date.now();
    if (since !== undefined && Date.now() - since >= stableMs) return `ready engines in ${POOLS}`;
    insist(Date.now() < endsAt, `no ready engine: ${missing.join(', ') || 'not for long enough'}`);
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

async function poolsWithoutEngine() {
  const answer = await fetch(`${INTERNAL_URL}/status`, { signal: AbortSignal.timeout(5_000) });
  /** @typedef {{ pool: string, draining: boolean, engines: { state: string }[] }} Worker */
  const { workers } = /** @type {{ workers: Worker[] }} */ (await answer.json());
  const ready = workers
    .filter(({ draining, engines }) => !draining && engines.some(({ state }) => state === 'ready'))
    .map(({ pool }) => pool);
  return list(POOLS).filter((pool) => !ready.includes(pool));
}

/** @type {Readonly<Record<string, () => Promise<string>>>} */
const checks = { api, completion, pools };
const check = checks[process.argv[2] ?? ''];
try {
  insist(check !== undefined, 'name a check: api, completion or pools');
  process.stdout.write(`${await check()}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
