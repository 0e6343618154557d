import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startSdk, type SdkAnswer, type SdkProcess } from '../sdks/sdk-process.ts';
import { OtherVersions, sdks } from '../sdks/sdks.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';

/** Set by `npm run sdks`: a Python with the SDKs, and further versions. */
const { PENSTOCK_SDKS_PYTHON: python, PENSTOCK_SDKS_OTHERS: others = '[]' } = process.env;

const ofOpenai = [
  ...sdks(python).filter(({ surfaces }) => 'v1' in surfaces),
  ...OtherVersions.parse(JSON.parse(others)),
];
const ofAzure = sdks(python).filter(({ surfaces }) => 'host' in surfaces);
const named = { model: 'Phi-3-vision-128k-instruct' };
const asks = { ...named, input: 'Tell me of the harbour.', max_output_tokens: 60 };
const chat = { messages: [{ role: 'user', content: 'Tell me of the harbour.' }], max_tokens: 30 };

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    gateways: 2,
    // Each stream is silent for longer than the interval of its comments.
    gatewayEnv: { GATEWAY_KEEP_ALIVE_MS: '50' },
    workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '120' },
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

describe.each(ofOpenai.map((sdk) => [sdk.name, sdk.command] as const))('%s', (_name, command) => {
  let sdk: SdkProcess;
  beforeAll(() => {
    const [program, ...args] = command;
    sdk = startSdk(program, args);
  });
  afterAll(async () => {
    await sdk[Symbol.asyncDispose]();
  });
  const call = (what: string, body: object, at = 0, surface = 'v1'): Promise<SdkAnswer> => {
    const url = stack.gateways[at]?.url ?? '';
    return sdk.call({ call: what, surface, url, key: 'unused', body: { ...body }, retries: 0 });
  };

  test.each(['v1', 'azure-v1'])(
    'a background response is polled, streamed again, cancelled and deleted: %s',
    async (surface) => {
      const [whole, polled, resumed, cancelled, deleted] = await Promise.all(
        ['response', 'background', 'resume', 'cancel', 'delete'].map((what) => call(what, asks, 0, surface)),
      );
      expect(whole?.text).toMatch(/\w/);
      expect(polled).toMatchObject({ status: 'incomplete', text: whole?.text });
      expect(resumed).toMatchObject({ status: 'incomplete', text: whole?.text, whole: whole?.text });
      expect(cancelled).toMatchObject({ status: 'cancelled' });
      expect(deleted?.error).toMatchObject({ class: 'NotFoundError', status: 404, code: 'answer_not_found' });
    },
    60_000,
  );

  test('a response follows an earlier one', async () => {
    const followed = await call('follow', { ...asks, next: 'And behind it?' });
    const first = await call('response', asks);
    const input = [
      { role: 'user', content: asks.input },
      { role: 'assistant', content: first.text },
      { role: 'user', content: 'And behind it?' },
    ];
    expect(followed).toMatchObject({ text: (await call('response', { ...asks, input })).text, whole: asks.input });
  }, 60_000);
});

test.each([...ofOpenai, ...ofAzure].map(({ name, command }) => [name, command] as const))(
  '%s: a stream with an idempotency key is the same when it is sent again, with comments between its events',
  async (name, [program, ...args]) => {
    await using sdk = startSdk(program, args);
    const isOpenai = ofOpenai.some((one) => one.name === name);
    const [surface, body] = isOpenai ? ['v1', { ...named, ...chat }] : ['host', chat];
    const headers = { 'idempotency-key': `key of ${name}` };
    const send = (at: number): Promise<SdkAnswer> =>
      sdk.call({ call: 'stream', surface, url: stack.gateways[at]?.url ?? '', key: 'unused', body, headers });
    const [first, second] = await Promise.all([send(0), send(1)]);
    expect(first.text).toMatch(/\w/);
    expect(second).toMatchObject({ text: first.text });
    expect(await send(1)).toMatchObject({ text: first.text });
  },
  60_000,
);
