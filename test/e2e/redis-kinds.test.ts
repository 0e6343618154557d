import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { aclRules, redisRights } from '#contract/redis-rights';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { png } from '../support/pictures.ts';
import { orEnd, startAll, startRedis, type TestRedis } from '../support/redis.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { startReceiver, type Receiver } from '../support/webhook-receiver.ts';

const KINDS = ['one-address', 'cluster'] as const;
type Kind = (typeof KINDS)[number];
const [VISION, TEXT] = ['Phi-3.5-vision-instruct', 'Phi-4'];
const picture = `data:image/png;base64,${png(64, 48).toString('base64')}`;

/** Each user has what `penstock redis acl` gives, and no more. */
async function startWithUsers(kind: Kind): Promise<TestRedis> {
  const cluster = kind === 'cluster' ? await startRedisCluster() : undefined;
  const redis = cluster ?? (await startRedis({ kind: 'one-address' }));
  const rightsOf = (role: 'gateway' | 'worker', served: string[]) =>
    aclRules(redisRights(role, 'single', served, kind === 'cluster'), false);
  const users = [VISION, TEXT].map((model) => [model, rightsOf('worker', [model])] as const);
  await orEnd([redis], async () => {
    for (const { server } of cluster?.nodes ?? [redis])
      for (const [name, rules] of [...users, ['gateway', rightsOf('gateway', [])] as const])
        await server.acl('SETUSER', name, 'reset', 'on', '>pw', ...rules);
  });
  return redis;
}
const loginOf = (program: string, user: string): Record<string, string> => ({
  [`${program}_REDIS_USERNAME`]: user,
  [`${program}_REDIS_PASSWORD`]: 'pw',
});

const folder = temporaryFolder();
const stacks = new Map<Kind, Stack>();
let receiver: Receiver;
let apiKey = '';
beforeAll(async () => {
  const [models, file] = [join(folder.path, 'models'), join(folder.path, 'keys.yaml')];
  await mkdir(models);
  for (const name of ['phi-3.5-vision-instruct', 'phi-4'])
    await copyFile(`deploy/models/more/${name}.yaml`, join(models, `${name}.yaml`));
  receiver = await startReceiver();
  const limits = ['--requests-per-minute', '999', '--tokens-per-minute', '999999', '--tokens-per-day', '9999999'];
  apiKey = (await penstock(['keys', 'create', '--file', file, '--id', 'mine', ...limits])).stdout.trim();
  await penstock(['keys', 'webhook', 'mine', `http://127.0.0.1:${receiver.port}/hook`, '--file', file]);
  const settings = { GATEWAY_MODELS_DIR: models, GATEWAY_KEYS_FILE: file, GATEWAY_WEBHOOK_ALLOW: '127.0.0.1' };
  const started = await startAll(
    KINDS.map(async (kind) =>
      startStack({
        redis: await startWithUsers(kind),
        gateways: 2,
        launchers: 2,
        gatewayEnv: { ...settings, ...loginOf('GATEWAY', 'gateway') },
        workerEnv: { ...NO_IDLE_TESTS, WORKER_MODELS_DIR: models },
        launcherEnvs: [VISION, TEXT].map((model) => ({ WORKER_MODEL: model, ...loginOf('WORKER', model) })),
      }),
    ),
  );
  started.forEach((stack, index) => stacks.set(KINDS[index] ?? 'cluster', stack));
}, 120_000);
afterAll(async () => {
  for (const stack of stacks.values()) await stack[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const clientOf = (stack: Stack | undefined, gateway = 0): OpenAI =>
  new OpenAI({ baseURL: `${stack?.gateways[gateway]?.url ?? ''}/v1`, apiKey, maxRetries: 0 });

test.each(KINDS)(
  '%s: each way to an answer works, of both models, and each gateway has it',
  async (kind) => {
    const stack = stacks.get(kind);
    const [one, other] = [clientOf(stack), clientOf(stack, 1)];
    const messages = [{ role: 'user' as const, content: 'hi' }];
    for (const model of [VISION, TEXT]) {
      const whole = await one.chat.completions.create({ model, messages, max_tokens: 4 });
      expect(whole.choices[0]?.message.content).not.toBe('');
      const parts = [];
      for await (const part of await one.chat.completions.create({ model, messages, max_tokens: 4, stream: true }))
        parts.push(part);
      expect(parts.at(-1)?.choices[0]?.finish_reason).toBe('length');
      const headers = { 'idempotency-key': `once-${model}` };
      const first = await one.chat.completions.create({ model, messages, max_tokens: 4 }, { headers });
      expect((await other.chat.completions.create({ model, messages, max_tokens: 4 }, { headers })).id).toBe(first.id);
    }
    const content = [
      { type: 'image_url' as const, image_url: { url: picture } },
      { type: 'text' as const, text: 'what is it?' },
    ];
    const seen = await one.chat.completions.create({
      model: VISION,
      messages: [{ role: 'user', content }],
      max_tokens: 4,
    });
    expect(seen.usage?.completion_tokens).toBe(4);

    const kept = { input: 'hi', max_output_tokens: 8, background: true, store: true };
    const begun = await Promise.all([VISION, TEXT].map((model) => one.responses.create({ ...kept, model })));
    for (const { id, model } of begun) {
      await eventually('it is complete', async () => (await other.responses.retrieve(id)).status !== 'in_progress');
      await eventually('its event arrives', () => receiver.of(id).length > 0);
      const next = await other.responses.create({
        model,
        input: 'go on',
        previous_response_id: id,
        max_output_tokens: 4,
      });
      expect(next.previous_response_id).toBe(id);
      await one.responses.delete(id);
    }
    for (const { output } of stack?.gateways ?? []) expect(output()).not.toMatch(/CROSSSLOT|MOVED|same slot|NOPERM/);
    for (const { output } of stack?.launchers ?? []) expect(output()).not.toMatch(/CROSSSLOT|MOVED|same slot|NOPERM/);
  },
  60_000,
);
