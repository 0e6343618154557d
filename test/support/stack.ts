import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { WorkerReport } from '#contract/registry';
import { askEngine } from './engine-request.mjs';
import { eventually } from './eventually.ts';
import { freePort } from '#runtime/free-port';
import { startRedis, TESTED_KIND, type TestRedis } from './redis.ts';
import { startRedisCluster } from './redis-cluster.ts';
import { startWatchedPair } from './redis-sentinel.ts';

const Status = z.object({ replica: z.string(), openRequests: z.number(), workers: z.array(WorkerReport) });

/** For `workerEnv` of tests that count what engines did: an idle engine would be tested every 30 s. */
export const NO_IDLE_TESTS = { WORKER_IDLE_CANARY_MS: '3600000' };

export interface StackOptions {
  readonly gateways?: number;
  readonly launchers?: number;
  /** per launcher */
  readonly engines?: number;
  readonly gatewayEnv?: Readonly<Record<string, string>>;
  readonly workerEnv?: Readonly<Record<string, string>>;
  /** further settings of each launcher, in order */
  readonly launcherEnvs?: readonly Readonly<Record<string, string>>[];
  /** a second Redis, without a file, for bodies and replies */
  readonly twoRedis?: boolean;
  /** used as the first Redis, and as the second one; they stop with the stack */
  readonly redis?: TestRedis;
  readonly replyRedis?: TestRedis;
  /** don't wait for a ready engine */
  readonly waitForEngines?: boolean;
  /** timeouts for engines to be ready, and for a program to exit; real engines need more than the defaults */
  readonly readyWithinMs?: number;
  readonly stopWithinMs?: number;
}

/** One program of the stack, as a real process. */
interface Program {
  readonly child: ChildProcess;
  /** public port; a launcher has none */
  readonly url: string;
  readonly internalUrl: string;
  readonly output: () => string;
}

export interface Stack extends AsyncDisposable {
  readonly redis: TestRedis;
  /** Redis of bodies and replies; the same one unless there are two */
  readonly replyRedis: TestRedis;
  readonly gateways: readonly Program[];
  readonly launchers: Program[];
  /** the first gateway's public URL */
  readonly url: string;
  status(): Promise<z.infer<typeof Status>>;
  /** sum of a metric's samples over all labels, of the first gateway unless another is named */
  metric(name: string, of?: Program): Promise<number>;
  /** the same over all engines */
  engineMetric(name: string): Promise<number>;
  startLauncher(): Promise<Program>;
  /** Another ready gateway, with these settings over the common ones. @throws Error with its output if it exits */
  startGateway(env: Readonly<Record<string, string>>): Promise<Program>;
}

/** Redis, gateways and launchers, with simulator engines unless `workerEnv` says otherwise, built and started as by a user. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const redis = options.redis ?? (await startTestedRedis());
  const replyRedis =
    options.replyRedis ?? (options.twoRedis === true ? await startRedis({ appendonly: false }) : redis);
  /** @returns the URLs of both as settings of gateways or workers */
  const redisSettings = (program: string): Record<string, string> => ({
    ...settingsOf(`${program}_REDIS`, redis),
    ...(replyRedis === redis ? {} : settingsOf(`${program}_REPLY_REDIS`, replyRedis)),
  });
  const folder = await mkdtemp(join(tmpdir(), 'penstock-stack-'));
  const gateways: Program[] = [];
  const launchers: Program[] = [];
  const base = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '' };

  const startGateway = async (more: Readonly<Record<string, string>> = {}): Promise<Program> => {
    const [port, internal] = [await freePort(), await freePort()];
    const ports = { GATEWAY_PORT: String(port), GATEWAY_INTERNAL_PORT: String(internal) };
    const env = { ...redisSettings('GATEWAY'), ...ports };
    const gateway = start('dist/gateway/main.js', { ...base, ...env, ...options.gatewayEnv, ...more }, port, internal);
    gateways.push(gateway);
    return gateway;
  };
  const startLauncher = async (): Promise<Program> => {
    const internal = await freePort();
    const env = {
      ...redisSettings('WORKER'),
      WORKER_INTERNAL_PORT: String(internal),
      WORKER_ENGINE: 'simulator',
      WORKER_ENGINES: String(options.engines ?? 1),
      WORKER_STATE_DIR: join(folder, `worker-${launchers.length}`),
    };
    const launcher = start(
      'dist/worker-launcher/main.js',
      { ...base, ...env, ...options.workerEnv, ...options.launcherEnvs?.[launchers.length] },
      internal,
      internal,
    );
    launchers.push(launcher);
    return launcher;
  };
  for (let i = 0; i < (options.gateways ?? 1); i += 1) await startGateway();
  for (let i = 0; i < (options.launchers ?? 1); i += 1) await startLauncher();

  const first = gateways[0];
  if (first === undefined) throw new Error('the stack has no gateway');
  const expected = (options.engines ?? 1) * launchers.length;
  const stack: Stack = {
    redis,
    replyRedis,
    gateways,
    launchers,
    url: first.url,
    status: async () => Status.parse(await (await fetch(`${first.internalUrl}/status`)).json()),
    metric: async (name, of = first) => sumOf(await (await fetch(`${of.internalUrl}/metrics`)).text(), name),
    engineMetric: async (name) => {
      let sum = 0;
      for (const worker of (await stack.status()).workers)
        for (const engine of worker.engines) sum += sumOf(await (await askEngine(engine, '/metrics')).text(), name);
      return sum;
    },
    startLauncher,
    startGateway: async (env) => {
      const gateway = await startGateway(env);
      const isOver = (): boolean => gateway.child.exitCode !== null;
      await eventually('the gateway is ready, or over', async () => isOver() || (await allReady([gateway], 0)), 60_000);
      if (isOver()) throw new Error(gateway.output());
      return gateway;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...launchers, ...gateways].map(({ child }) => stop(child, options.stopWithinMs ?? 10_000)));
      for (const server of new Set([redis, replyRedis])) await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await eventually(
      'gateways and engines are ready',
      () => allReady(gateways, options.waitForEngines === false ? 0 : expected),
      options.readyWithinMs ?? 60_000,
    );
  } catch (cause) {
    const outputs = [...gateways, ...launchers].map(({ output }) => output().slice(-2_000));
    await stack[Symbol.asyncDispose]();
    throw new Error(`the stack did not start:\n${outputs.join('\n')}`, { cause });
  }
  return stack;
}

/** Several servers of a kind are used by stacks alone: no test of a part knows them. */
function startTestedRedis(): Promise<TestRedis> {
  if (TESTED_KIND === 'cluster') return startRedisCluster();
  return TESTED_KIND === 'sentinel' ? startWatchedPair() : startRedis();
}

/** A Redis as settings of a program. @param name such as `WORKER_REDIS` */
export function settingsOf(name: string, { url, settings }: TestRedis): Record<string, string> {
  const parts = Object.entries({ URL: url, ...settings });
  return Object.fromEntries(parts.map(([part, value]) => [`${name}_${part}`, value]));
}

const Ready = z.object({ readyEngines: z.number() });
async function allReady(gateways: readonly Program[], engines: number): Promise<boolean> {
  for (const { internalUrl } of gateways) {
    const answer = await fetch(`${internalUrl}/readyz`);
    if (!answer.ok || Ready.parse(await answer.json()).readyEngines < engines) return false;
  }
  return true;
}

function start(program: string, env: Record<string, string>, port: number, internal: number): Program {
  // With an IPC channel the program ends when this process ends, however it ends.
  const child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-200_000);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    internalUrl: `http://127.0.0.1:${internal}`,
    output: () => output,
  };
}

async function stop(child: ChildProcess, withinMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), withinMs);
  await exited;
  clearTimeout(patience);
}

function sumOf(page: string, name: string): number {
  let sum = 0;
  for (const line of page.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}
