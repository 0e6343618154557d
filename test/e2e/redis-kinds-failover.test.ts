import { expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { redisKeys } from '#contract/redis-keys';
import { eventually } from '../support/eventually.ts';
import type { TestRedis } from '../support/redis.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { startWatchedPair } from '../support/redis-sentinel.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';

const model = 'Phi-3-vision-128k-instruct';
const TOKENS = 100;
const EACH = 4;
const question = { model, messages: [{ role: 'user' as const, content: 'Tell me of the harbour.' }], temperature: 0 };
const asked = { ...question, max_tokens: TOKENS };

const inBackground = (background: boolean) => ({
  model,
  input: 'hi',
  max_output_tokens: TOKENS,
  temperature: 0,
  background,
});

interface Kind {
  readonly redis: TestRedis;
  /** Kills the primary that has the requests of the model. @returns when another one has its place */
  readonly failOver: () => Promise<unknown>;
}
const kinds: readonly (readonly [string, () => Promise<Kind>])[] = [
  [
    'a primary that a Sentinel watches',
    async () => {
      const pair = await startWatchedPair();
      const failOver = (): Promise<unknown> => {
        process.kill(pair.primary.pid, 'SIGKILL');
        return eventually('the replica is promoted', async () =>
          (await pair.replica.server.info('replication')).includes('role:master'),
        );
      };
      return { redis: pair, failOver };
    },
  ],
  [
    'a cluster of three with replicas',
    async () => {
      const cluster = await startRedisCluster(true);
      const failOver = async (): Promise<unknown> => {
        const key = redisKeys.openAnswers(model);
        const owner = await cluster.ownerOf(key);
        process.kill(owner.pid, 'SIGKILL');
        return eventually('a replica is promoted', async () => (await cluster.ownerOf(key)) !== owner);
      };
      return { redis: cluster, failOver };
    },
  ],
];

/** Each client sends its request again as OpenAI's SDK does, so a refusal in between is no loss. */
const clientOf = (stack: Stack, gateway: number): OpenAI =>
  new OpenAI({ baseURL: `${stack.gateways[gateway % 2]?.url ?? ''}/v1`, apiKey: 'none', maxRetries: 20 });

async function streamed(stack: Stack, index: number, headers: Record<string, string>, begun: () => void) {
  let text = '';
  let usage = 0;
  const options = { stream_options: { include_usage: true }, stream: true } as const;
  for await (const part of await clientOf(stack, index).chat.completions.create(
    { ...asked, ...options },
    { headers },
  )) {
    begun();
    text += part.choices[0]?.delta.content ?? '';
    usage = part.usage?.completion_tokens ?? usage;
  }
  return { text, usage };
}

test.each(kinds)(
  '%s: a fail-over under load loses no request and doubles none',
  async (_name, start) => {
    const { redis, failOver } = await start();
    await using stack = await startStack({
      redis,
      gateways: 2,
      launchers: 2,
      workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '20' },
    });
    const [reference, { output_text: said }] = await Promise.all([
      streamed(stack, 0, {}, () => {}),
      clientOf(stack, 1).responses.create(inBackground(false)),
    ]);
    const each = Array.from({ length: EACH }, (_, index) => index);
    let begun = 0;
    const once = (): (() => void) => {
      let isFirst = true;
      return () => {
        begun += isFirst ? 1 : 0;
        isFirst = false;
      };
    };
    const keyOf = (index: number): Record<string, string> => ({ 'idempotency-key': `key-${index}` });
    const plain = each.map((index) => streamed(stack, index, {}, once()));
    const keyed = each.map((index) => streamed(stack, index, keyOf(index), once()));
    const ids = await Promise.all(
      each.map(async (index) => (await clientOf(stack, index).responses.create(inBackground(true))).id),
    );
    await eventually('all streams have begun', () => begun === 2 * EACH);
    const failedOver = failOver();
    // These arrive while no primary has the model's requests.
    const late = each.map((index) => clientOf(stack, index).chat.completions.create({ ...asked, max_tokens: 5 }));
    await failedOver;

    expect(await Promise.all([...plain, ...keyed])).toEqual(each.concat(each).map(() => reference));
    for (const { choices } of await Promise.all(late)) expect(choices[0]?.finish_reason).toBe('length');
    for (const [index, id] of ids.entries()) {
      const answer = await eventually('a background response is over', async () => {
        const found = await clientOf(stack, index + 1).responses.retrieve(id);
        return found.status !== 'queued' && found.status !== 'in_progress' && found;
      });
      expect(answer.output_text).toBe(said);
    }
    const again = each.map((index) => streamed(stack, index + 1, keyOf(index), () => {}));
    expect(await Promise.all(again)).toEqual(each.map(() => reference));
    for (const { output } of [...stack.gateways, ...stack.launchers])
      expect(output()).not.toMatch(/CROSSSLOT|Too many Cluster redirections|same slot/);
  },
  120_000,
);
