import { expect, test } from '@jest/globals';
import { Worker } from 'bullmq';
import { WORKER_OPTIONS } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { startProxy } from '../drill/tcp-proxy.mjs';
import { call, type Call } from '../support/call.ts';
import { askEngine } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** Each mostly waits, so all run concurrently, each on its own stack. */
const LIMIT_MS = 120_000;
const MODEL = 'Phi-3-vision-128k-instruct';
/** Deadlines and engine waits are ten minutes, so no test ends because of them. */
const PATIENT = { GATEWAY_NO_ENGINE_HOLD_MS: '600000' };

const ask = (url: string): Call =>
  call(`${url}/v1/chat/completions`, { messages: [{ role: 'user', content: 'Tell me of rivers.' }], max_tokens: 8 });
const asked = (url: string, count: number): Call[] => Array.from({ length: count }, () => ask(url));
async function statuses(calls: readonly Call[]): Promise<number[]> {
  return (await Promise.all(calls.map(({ ended }) => ended))).map(({ status }) => status);
}
const all = (count: number, status: number): number[] => Array.from({ length: count }, () => status);

async function readyEngines(stack: Stack): Promise<number> {
  const { workers } = await stack.status();
  return workers.flatMap(({ engines }) => engines).filter(({ state }) => state === 'ready').length;
}
/** Answers of this node's engines to clients; those to a launcher have at most five tokens. */
async function answersOf(stack: Stack, node: string): Promise<number> {
  let answers = 0;
  for (const worker of (await stack.status()).workers.filter((one) => one.node === node))
    for (const engine of worker.engines) {
      const page = await (await askEngine(engine, '/metrics')).text();
      for (const [, all] of page.matchAll(/^vllm:request_generation_tokens_count\{.*\} (\S+)$/gm))
        answers += Number(all);
      for (const [, short] of page.matchAll(/^vllm:request_generation_tokens_bucket\{.*le="5.0".*\} (\S+)$/gm))
        answers -= Number(short);
    }
  return answers;
}

test.concurrent(
  'H1: a dispatcher whose reply connection is broken pulls no job and returns its jobs until it can write again; its launcher without Redis is not ready',
  async () => {
    let port: number | undefined;
    const proxy = await startProxy(() => port);
    await using stack = await startStack({
      launcherEnvs: [
        { WORKER_NODE: 'beside' },
        { WORKER_NODE: 'behind', WORKER_REDIS_URL: `redis://127.0.0.1:${proxy.port}` },
      ],
    });
    try {
      port = Number(new URL(stack.redis.url).port);
      const behind = await stack.startLauncher();
      await eventually('both are there', async () => (await readyEngines(stack)) === 2, 30_000);
      const says = (what: string): Promise<unknown> => eventually(what, () => behind.output().includes(what), 30_000);

      proxy.muteOne('penstock-dispatcher-replies');
      const first = asked(stack.url, 24);
      await says('Redis accepts no answers: the dispatcher takes no jobs');
      expect(await statuses(first)).toEqual(all(24, 200));
      expect(await statuses(asked(stack.url, 24))).toEqual(all(24, 200));
      // It returned its jobs, so no gateway had to give them up, and took no more.
      expect(await stack.metric('penstock_repeats_total')).toBe(0);
      expect(await answersOf(stack, 'behind')).toBe(0);

      proxy.muteOne(undefined);
      await says('Redis accepts answers again: the dispatcher takes jobs');
      await eventually('its engine answers', async () => {
        expect(await statuses(asked(stack.url, 8))).toEqual(all(8, 200));
        return (await answersOf(stack, 'behind')) > 0;
      });

      const readiness = async (): Promise<string> => {
        const answer = await fetch(`${behind.internalUrl}/readyz`);
        return `${answer.status} ${await answer.text()}`;
      };
      expect(await readiness()).toBe('200 ready');
      proxy.mute(true);
      await eventually(
        'not ready',
        async () => /^503 the Redis of \w+ does not answer$/.test(await readiness()),
        20_000,
      );
      expect(await statuses(asked(stack.url, 8))).toEqual(all(8, 200));
      proxy.mute(false);
      await eventually('ready again', async () => (await readiness()) === '200 ready', 30_000);
    } finally {
      await proxy.stop();
    }
  },
  LIMIT_MS,
);

test.concurrent(
  'H1: jobs that a worker holds but never claims are given up in seconds, and another dispatcher answers them',
  async () => {
    await using stack = await startStack({ launchers: 0, gatewayEnv: PATIENT });
    const connection = stack.redis.server.duplicate();
    const calls = asked(stack.url, 3);
    // It renews its locks for ever, without a message. It has no room for the jobs that replace those that it holds.
    const silent = new Worker('text', () => new Promise(() => {}), {
      ...WORKER_OPTIONS,
      connection,
      prefix: redisKeys.queuePrefix(MODEL),
      concurrency: calls.length,
    });
    try {
      const active = `${redisKeys.queuePrefix(MODEL)}:text:active`;
      await eventually('all are held', async () => (await stack.redis.client.llen(active)) === calls.length);
      await stack.startLauncher();
      expect(await statuses(calls)).toEqual(all(3, 200));
      expect(await stack.metric('penstock_repeats_total')).toBe(3);
    } finally {
      await silent.close(true);
      connection.disconnect();
    }
  },
  LIMIT_MS,
);

test.concurrent(
  'H3: a gateway is killed with a full queue: another one accepts again when its lease has ended',
  async () => {
    await using stack = await startStack({
      gateways: 2,
      launchers: 0,
      gatewayEnv: { ...PATIENT, GATEWAY_QUEUE_LIMIT_JOBS: '5' },
    });
    const [dying, other] = stack.gateways;
    if (dying === undefined || other === undefined) throw new Error('fewer than two gateways');
    const waiting = asked(dying.url, 5);
    const places = (): Promise<number> => stack.redis.client.zcard(redisKeys.reservations(MODEL));
    await eventually('the queue is full', async () => (await places()) === 5);
    expect(await statuses([ask(other.url)])).toEqual([429]);
    dying.child.kill('SIGKILL');
    expect(await statuses(waiting)).toEqual(all(5, 0));
    await stack.startLauncher();
    // The lease is 15 s, and all deadlines are later.
    const accepts = async (): Promise<boolean> => {
      const [status] = await statuses([ask(other.url)]);
      expect([200, 429]).toContain(status);
      return status === 200;
    };
    await eventually('the other one accepts', accepts, 60_000);
  },
  LIMIT_MS,
);
