import { appendFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startPlaces, type Places } from '../azure-conformance/places.ts';
import { startSdk, type SdkAnswer, type SdkCall, type SdkProcess } from '../sdks/sdk-process.ts';
import { CODES, STATUSES, sdks, type Dialect, type Status } from '../sdks/sdks.ts';
import { eventually } from '../support/eventually.ts';

/** Set by `npm run sdks`: a Python with the SDKs, and the file for errors. */
const { PENSTOCK_SDKS_PYTHON: python, PENSTOCK_SDKS_FILE: file } = process.env;

const MODEL = 'Phi-3-vision-128k-instruct';
const WITH_SLASH = `microsoft/${MODEL}`;
const TEXT = ' There are three boats.';
const hi = [{ role: 'user', content: 'hi' }];
const tools = [{ type: 'function', function: { name: 'weather', description: '', parameters: { type: 'object' } } }];
const ask = (text: string, ...urls: string[]): object[] => [
  {
    role: 'user',
    content: [...urls.map((url) => ({ type: 'image_url', image_url: { url } })), { type: 'text', text }],
  },
];
const REQUESTS = 'gen_ai_server_request_duration_seconds_count';

let places: Places;
beforeAll(async () => {
  places = await startPlaces();
}, 120_000);
afterAll(async () => {
  await places[Symbol.asyncDispose]();
});
beforeEach(() => {
  places.engine.answer = 'text';
  places.engine.taken();
});

const value = (name: string): string => places.values[name] ?? '';
function raw(path: string, init: { readonly body?: string; readonly headers?: Record<string, string> } = {}) {
  const headers = { authorization: `Bearer ${value('KEY')}`, 'content-type': 'application/json', ...init.headers };
  const sent = init.body === undefined ? {} : { method: 'POST', body: init.body };
  return fetch(places.stack.url + path, { ...sent, headers, redirect: 'manual' });
}
function note(seen: object): void {
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(seen)}\n`);
}
function errorOf(answer: SdkAnswer): NonNullable<SdkAnswer['error']> {
  if (answer.error === undefined) throw new Error(`no error: ${JSON.stringify(answer)}`);
  return answer.error;
}

describe.each(sdks(python).map((sdk) => [sdk.name, sdk] as const))('%s', (name, { command, surfaces, family }) => {
  let sdk: SdkProcess;
  beforeAll(() => {
    const [program, ...args] = command;
    sdk = startSdk(program, args);
  });
  afterAll(async () => {
    await sdk[Symbol.asyncDispose]();
  });
  /** Without retries, unless the test counts them. */
  const call = async (
    what: string,
    surface: string,
    body: SdkCall['body'],
    more: Partial<SdkCall> & { readonly gateway?: string } = {},
  ): Promise<SdkAnswer> => {
    const { gateway, ...rest } = more;
    const { url } = await places.gateway(gateway);
    return sdk.call({ call: what, surface, url, key: value('KEY'), body, retries: 0, ...rest });
  };
  const isOpenAi = surfaces['v1'] !== undefined;
  const named = isOpenAi ? { model: MODEL } : {};

  const tell = (surface: string, status: Status | 'broken stream', error: NonNullable<SdkAnswer['error']>): void => {
    note({ sdk: name, surface, status, class: error.class, code: error.code });
  };
  /** Requests that get each status. */
  const faults = (model: string): Record<Status, Partial<SdkCall> & { body: SdkCall['body']; gateway?: string }> => ({
    400: { body: { ...named, messages: hi, tools } },
    401: { body: { ...named, messages: hi }, key: 'wrong' },
    404: { body: { messages: hi, model: 'nope' } },
    422: { body: { ...named, messages: hi, temperature: 3 } },
    429: { body: { ...(isOpenAi ? { model } : {}), messages: hi }, gateway: 'full' },
    502: { body: { ...named, messages: hi }, gateway: 'choices' },
    503: { body: { ...named, messages: hi }, gateway: 'crowded' },
    504: { body: { ...named, messages: hi }, gateway: 'small' },
  });
  const known = STATUSES.filter((status) => family.classes[status] !== undefined);

  describe.each(Object.entries(surfaces))('%s', (surface, dialect: Dialect) => {
    test('a chat, complete and streamed', async () => {
      const body = { ...named, messages: hi, temperature: 0.5, max_tokens: 9 };
      const whole = { model: MODEL, text: TEXT, finish: 'stop', tokens: 12 };
      expect(await call('chat', surface, body)).toMatchObject(whole);
      expect(await call('stream', surface, body)).toMatchObject({ text: TEXT });
      expect(places.engine.taken().map((one) => one.body)).toEqual(
        [false, true].map((stream) =>
          expect.objectContaining({ messages: hi, temperature: 0.5, max_tokens: 9, stream }),
        ),
      );
    });

    test('a stream survives silence of the engine', async () => {
      places.engine.answer = 'slow';
      const body = { ...named, messages: hi };
      expect(await call('stream', surface, body, { gateway: 'impatient' })).toMatchObject({ text: TEXT });
    });

    test('a picture by URL and as data', async () => {
      for (const url of [`${value('PICTURES')}/picture.png`, value('PNG')]) {
        expect(await call('chat', surface, { ...named, messages: ask('What is it?', url) })).toMatchObject({
          text: TEXT,
        });
        expect(JSON.stringify(places.engine.taken()[0]?.body)).toContain('"url":"data:image/png;base64,');
      }
    });

    test('each status becomes an SDK error with our code and a sentence', async () => {
      for (const status of known) {
        places.engine.answer = status === 504 ? 'silent' : 'fails';
        const { body, ...more } = faults('Phi-3.5-vision-instruct')[status];
        const error = errorOf(await call('chat', surface, body, more));
        const { message, sentence = message } = error;
        expect({ ...error, status }).toMatchObject({
          class: family.classes[status],
          status,
          code: CODES[dialect][status],
        });
        expect([status, error.status]).toEqual([status, status]);
        expect(sentence).not.toMatch(/[{}]/);
        if (dialect === 'inference') expect(error.header).toBe(error.code);
        tell(surface, status, error);
      }
    }, 180_000);

    test('a broken stream is an error, not an end', async () => {
      places.engine.answer = 'breaks';
      const body = { ...named, messages: hi, presence_penalty: 0.5 };
      const error = errorOf(await call('stream', surface, body));
      expect(error.class).toBe(family.brokenStream);
      tell(surface, 'broken stream', error);
    });

    test('a client that leaves during a stream frees the engine', async () => {
      places.engine.answer = 'endless';
      // It leaves after what came in one piece, which is more than one event on a busy machine.
      const { text } = await call('leave', surface, { ...named, messages: hi });
      expect(text).toMatch(/^( more)+$/);
      const { requests } = places.engine.engine;
      await eventually('the engine sees it', () => requests.at(-1)?.abortedAt !== undefined, 2_000);
    });
  });

  test('refusals are not retried; answers with Retry-After are, as often as the SDK documents', async () => {
    places.engine.answer = 'fails';
    const surface = Object.keys(surfaces)[0] ?? '';
    const counted = async (status: Status): Promise<readonly [Status, number]> => {
      const { body, gateway, ...more } = faults('Phi-3.5-vision-instruct')[status];
      const of = await places.gateway(gateway);
      const before = await places.stack.metric(REQUESTS, of);
      const sent = { call: 'chat', surface, url: of.url, key: value('KEY'), body, ...more };
      expect(errorOf(await sdk.call(sent)).status).toBe(status);
      const requests = async (): Promise<number> => (await places.stack.metric(REQUESTS, of)) - before;
      // A request is counted at the end of its answer.
      const least = family.requests[status] ?? 0;
      await eventually('they are counted', async () => (await requests()) >= least, 2_000).catch(() => {});
      return [status, await requests()];
    };
    // Each of the first four has its own gateway; the others share the first one.
    const together = await Promise.all(([400, 429, 502, 503] as const).map(counted));
    const rest: (readonly [Status, number])[] = [];
    places.engine.answer = 'silent';
    for (const status of known) if ([401, 404, 422, 504].includes(status)) rest.push(await counted(status));
    const requests = Object.fromEntries([...together, ...rest]);
    note({ sdk: name, surface, requests });
    expect(requests).toEqual(family.requests);
  }, 60_000);

  if (isOpenAi) {
    test('completions, complete and streamed', async () => {
      const body = { model: MODEL, prompt: 'p1', max_tokens: 4 };
      for (const surface of Object.keys(surfaces))
        expect(await call('completion', surface, body)).toMatchObject({ model: MODEL, text: ' answer to p1' });
      expect(await call('completionStream', 'v1', body)).toMatchObject({ text: TEXT });
    });

    test('models are listed, and each can be read by its id', async () => {
      for (const surface of Object.keys(surfaces)) {
        const { ids = [] } = await call('models', surface, {});
        expect(ids).toEqual([MODEL]);
        for (const model of ids) expect(await call('model', surface, { model })).toMatchObject({ model });
      }
    });

    test('a model id with a slash can be read and is a deployment; an unknown one is reported by name', async () => {
      for (const surface of Object.keys(surfaces)) {
        expect(await call('model', surface, { model: WITH_SLASH })).toMatchObject({ model: MODEL });
        expect(await call('chat', surface, { model: WITH_SLASH, messages: hi })).toMatchObject({ model: MODEL });
        const { status, code } = errorOf(await call('chat', surface, { model: 'microsoft/nope', messages: hi }));
        expect([status, code]).toEqual([404, surface === 'v1' ? 'model_not_found' : 'DeploymentNotFound']);
      }
    });

    test('a base URL that ends with a slash is served', async () => {
      expect(await call('chat', 'v1-slash', { model: MODEL, messages: hi })).toMatchObject({ text: TEXT });
    });

    test('responses, if the gateway has them', async () => {
      const asked = await raw('/v1/responses', { body: '{}' });
      if (asked.status === 404) return;
      expect(await call('response', 'v1', { model: MODEL, input: 'hi' })).toMatchObject({ text: TEXT });
    });
  } else {
    test('the endpoint names its model', async () => {
      expect(await call('info', 'host', {})).toMatchObject({ model: MODEL, type: 'chat-completion' });
    });

    test('fields outside the SDK’s types reach the engine', async () => {
      await call('chat', 'host', { messages: hi }, { extras: { top_k: 5 } });
      expect(places.engine.taken()[0]?.body).toMatchObject({ top_k: 5 });
    });

    test.each([
      ['two pictures', () => ({ messages: ask('Which?', value('PNG'), value('PNG')) }), {}],
      ['an invalid role', () => ({ messages: [{ role: 'robot', content: 'hi' }] }), {}],
      ['an unknown model', () => ({ messages: hi, model: 'nope' }), {}],
      ['a wrong key', () => ({ messages: hi }), { key: 'wrong' }],
      ['a full queue', () => ({ messages: hi }), { gateway: 'full' }],
    ] as const)(
      '%s: the exception has one sentence, no nested JSON, and the same code as on the other routes',
      async (_fault, bodyOf, more) => {
        const body = bodyOf();
        const { message, sentence = message, code, header, details } = errorOf(await call('chat', 'host', body, more));
        expect(sentence).toMatch(/^[^{}]+$/);
        expect(header).toBe(code);
        expect(details ?? []).toEqual([]);
        const { url } = await places.gateway('gateway' in more ? more.gateway : undefined);
        const authorization = `Bearer ${'key' in more ? more.key : value('KEY')}`;
        const headers = { authorization, 'content-type': 'application/json' };
        const sent = { method: 'POST', headers, body: JSON.stringify(body) };
        const told = (await (await fetch(`${url}/v1/chat/completions`, sent)).json()) as { error: object };
        expect(told.error).toMatchObject({ code });
      },
    );
  }
});

describe('without an SDK', () => {
  const score = JSON.stringify({ input_data: { input_string: hi } });
  const chat = JSON.stringify({ model: 'azureai', messages: hi });

  test.each([
    ['the sample of the card, as az ml sends it', '/score', { body: score }],
    ['a bare key, as curl samples send it', '/score', { body: score, headers: { authorization: '$KEY' } }],
    ['a slash at the end', '/score/', { body: score }],
    ['two slashes, from a base URL that ends with one', '/v1//chat/completions', { body: chat }],
    ['stream as Python prints it', '/chat/completions', { body: JSON.stringify({ messages: hi, stream: 'True' }) }],
    ['a model read by its id with %2F', `/v1/models/${encodeURIComponent(WITH_SLASH)}`, {}],
    ['a model read by its id with a slash', `/v1/models/${WITH_SLASH}`, {}],
    ['a deployment with a slash', `/openai/deployments/${WITH_SLASH}/chat/completions`, { body: chat }],
  ] as const)('%s', async (_what, path, init: Parameters<typeof raw>[1]) => {
    const headers = init?.headers === undefined ? {} : { headers: { authorization: value('KEY') } };
    const answer = await raw(path, { ...init, ...headers });
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringMatching(/boats|"id":/)]);
  });

  test.each([
    ['/openai/deployments/nope/chat/completions', 'DeploymentNotFound'],
    ['/openai/v1/chat/completions', 'DeploymentNotFound'],
    ['/v1/chat/completions', 'model_not_found'],
    ['/chat/completions', 'model_not_found'],
  ])('%s: an unknown model is reported by name', async (path, code) => {
    const answer = await raw(path, { body: JSON.stringify({ messages: hi, model: 'nope' }) });
    expect([answer.status, await answer.json()]).toMatchObject([404, { error: { code } }]);
  });
});
