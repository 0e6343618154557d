import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { z } from 'zod';
import { FromDispatcher, type EngineEntry, type ToDispatcher } from '../../worker-launcher/dispatch/link.ts';
import { redisKeys } from '#contract/redis-keys';
import { eventually } from './eventually.ts';
import { startFakeEngine, type FakeEngine } from './fake-engine.ts';
import { settingsOf, startStack, type Stack } from './stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';

/** The parts of an engine request that scripts use. */
const EngineRequest = z.object({
  messages: z.array(z.object({ content: z.string() })).optional(),
  prompt: z.union([z.string(), z.array(z.unknown())]).optional(),
  stream: z.boolean().optional(),
  stream_options: z.object({ include_usage: z.boolean() }).optional(),
});
interface Asked {
  /** of the last message, or the prompt */
  readonly text: string;
  readonly isStream: boolean;
  readonly asksUsage: boolean;
}
export type Script = (res: ServerResponse, asked: Asked) => void | Promise<void>;

/** Redis, one gateway and one dispatcher as real processes, over a scripted engine. */
export interface ScriptedStack extends AsyncDisposable {
  readonly stack: Stack;
  readonly engine: FakeEngine;
  /** how the engine answers from here on */
  script: Script;
}

/** @param options.slots concurrent text requests of the engine */
export async function startScriptedStack(
  options: {
    readonly gateways?: number;
    readonly gatewayEnv?: Readonly<Record<string, string>>;
    readonly dispatcherEnv?: Readonly<Record<string, string>>;
    readonly slots?: number;
    /** as in StackOptions */
    readonly twoRedis?: boolean;
  } = {},
): Promise<ScriptedStack> {
  const stack = await startStack({
    launchers: 0,
    gateways: options.gateways ?? 1,
    gatewayEnv: { ...options.gatewayEnv },
    twoRedis: options.twoRedis ?? false,
  });
  const engine = await startFakeEngine((res, body) => {
    const { messages, prompt, stream, stream_options: extras } = EngineRequest.parse(body);
    const text = messages?.at(-1)?.content ?? (typeof prompt === 'string' ? prompt : '');
    // The client left and closed the connection; later writes have no reader.
    res.on('error', () => {});
    void scripted.script(res, { text, isStream: stream ?? false, asksUsage: extras?.include_usage ?? false });
  });
  const scripted: ScriptedStack = {
    stack,
    engine,
    script: (res) => void res.end(),
    async [Symbol.asyncDispose]() {
      await dispatcher[Symbol.asyncDispose]();
      await stack[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
  const slots = { text: options.slots ?? 256, image: 32 };
  const dispatcher = await startScriptedDispatcher(
    stack,
    [scriptedEngine(MODEL, engine, slots)],
    true,
    options.dispatcherEnv,
  );
  return scripted;
}

export function scriptedEngine(model: string, { port }: FakeEngine, slots = { text: 256, image: 32 }): EngineEntry {
  return { id: `engine-of-${model}`, model, pid: process.pid, port, state: 'ready', slots };
}

/**
 * A dispatcher as a real process, over scripted engines of one model; ready when the gateways know them.
 * @param isServed false: the stack's first gateway does not serve the model, so it is ready when its report is in Redis
 */
export async function startScriptedDispatcher(
  stack: Stack,
  engines: readonly EngineEntry[],
  isServed = true,
  dispatcherEnv: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable> {
  const model = engines[0]?.model ?? MODEL;
  const dispatcher = fork('dist/worker-launcher/dispatch/main.js', [], {
    execArgv: [],
    env: {
      PATH: process.env['PATH'] ?? '',
      ...settingsOf('WORKER_REDIS', stack.redis),
      ...settingsOf('WORKER_REPLY_REDIS', stack.replyRedis),
      WORKER_LOG_LEVEL: 'error',
      WORKER_MODEL: model,
      ...dispatcherEnv,
    },
  });
  const exited = once(dispatcher, 'exit');
  const tell = (): void => {
    dispatcher.send({ type: 'engines', engines: [...engines] } satisfies ToDispatcher);
  };
  dispatcher.on('message', (raw) => {
    // A launcher would probe a suspect engine; these are always healthy.
    const { type } = FromDispatcher.parse(raw);
    if (type === 'ready' || type === 'suspect') tell();
  });
  const areKnown = async (): Promise<boolean> => {
    if (!isServed) {
      const [name = ''] = await stack.redis.client.zrange(redisKeys.workersOf(model), '0', '0');
      return (await stack.redis.client.get(redisKeys.workerOf(model, name)))?.includes('"state":"ready"') === true;
    }
    const { workers } = await stack.status();
    return workers.some((worker) => worker.engines.some((one) => one.model === model && one.state === 'ready'));
  };
  await eventually('the scripted engines are known', areKnown, 60_000);
  return {
    async [Symbol.asyncDispose]() {
      dispatcher.kill('SIGKILL');
      await exited;
    },
  };
}

/** One event of a chat answer. */
export function chunk(text: string, finish: string | null = null): string {
  const choice = { index: 0, delta: { content: text }, logprobs: null, finish_reason: finish };
  return event({ choices: [choice] });
}
/** The closing event that vLLM sends if usage is requested. */
export function usageEvent(promptTokens: number, completionTokens: number): string {
  const total = promptTokens + completionTokens;
  return event({
    choices: [],
    usage: { prompt_tokens: promptTokens, total_tokens: total, completion_tokens: completionTokens },
  });
}
export const DONE = 'data: [DONE]\n\n';
export const EVENT_STREAM = { 'content-type': 'text/event-stream; charset=utf-8' };

/** A complete answer that is not streamed. */
export function wholeAnswer(text: string, promptTokens = 7, completionTokens = 3): string {
  return JSON.stringify({
    ...HEAD,
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage: {
      prompt_tokens: promptTokens,
      total_tokens: promptTokens + completionTokens,
      completion_tokens: completionTokens,
    },
  });
}

const HEAD = { id: 'chatcmpl-scripted', object: 'chat.completion.chunk', created: 1_795_422_691, model: MODEL };
function event(members: object): string {
  return `data: ${JSON.stringify({ ...HEAD, ...members })}\n\n`;
}
/** The event that finishes an answer; `DONE` alone does not. */
export const LAST = chunk('', 'stop');
