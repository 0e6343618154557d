import { png } from './requests.mjs';

/**
 * Files that describe several requests in words: the requests are sent again.
 * Each function returns the first difference from the description.
 * @type {Record<string, ((places: import('./replay.mjs').Places) => Promise<string | undefined>) | undefined>}
 */
export const stories = {
  'uuid-collision': async (places) => {
    const ask = (/** @type {Buffer} */ picture) => promptTokens(places, { ...imagePart(picture), uuid: 'collision' });
    const first = await ask(png(640, 480));
    const second = await ask(png(3000, 1000));
    return first === second ? undefined : `the second picture under one uuid cost ${second} tokens, the first ${first}`;
  },
  'disconnect-and-ids': async (places) => {
    const running = async () => {
      const page = await (await fetch(`${places.simulator}/metrics`)).text();
      return Number(/^vllm:num_requests_running\{[^}]*\} (.*)$/m.exec(page)?.[1]);
    };
    for (const stream of [true, false]) {
      const leave = new AbortController();
      const asked = ask(places, { stream, max_tokens: 100_000, ignore_eos: true }, leave.signal).catch(() => undefined);
      while ((await running()) === 0);
      leave.abort();
      await asked;
      const since = performance.now();
      while ((await running()) > 0) {
        if (performance.now() - since > 1000) return 'still running a second after its client left';
      }
    }
    const salted = async (/** @type {string | undefined} */ salt) => {
      const content = 'import numbers '.repeat(300);
      const body = { messages: [{ role: 'user', content }], max_tokens: 1, cache_salt: salt };
      const res = await ask(places, body);
      return Number(/"cached_tokens":(\d+)/.exec(await res.text())?.[1]);
    };
    const cached = [];
    for (const salt of [undefined, undefined, 't1', 't1', 't2']) cached.push(await salted(salt));
    const told = [0, 512, 0, 512, 0];
    return cached.join() === told.join()
      ? undefined
      : `cached tokens by cache_salt ${cached.join()}, told ${told.join()}`;
  },
};

/** @param {Buffer} picture */
function imagePart(picture) {
  return { type: 'image_url', image_url: { url: `data:image/png;base64,${picture.toString('base64')}` } };
}

/**
 * @param {import('./replay.mjs').Places} places
 * @param {object} part
 */
async function promptTokens(places, part) {
  const res = await ask(places, {
    messages: [{ role: 'user', content: [part, { type: 'text', text: 'Hi' }] }],
    max_tokens: 2,
  });
  return Number(/"prompt_tokens":(\d+)/.exec(await res.text())?.[1]);
}

/**
 * @param {import('./replay.mjs').Places} places
 * @param {object} body
 * @param {AbortSignal} [signal]
 */
function ask(places, body, signal) {
  return fetch(`${places.simulator}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Say hello.' }], ...body }),
    ...(signal === undefined ? {} : { signal }),
  });
}
