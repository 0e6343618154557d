import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { groupMembers } from '../../worker-launcher/engine/process-group.ts';
import { setFaults } from './engine-request.mjs';
import { startStack, type Stack } from './stack.ts';

const Settings = z.object({
  /** the engine of this run of the common suite */
  PENSTOCK_TEST_ENGINE: z.enum(['simulator', 'vllm']).default('simulator'),
  /** vLLM only: folder of the model */
  PENSTOCK_TEST_WEIGHTS: z.string().default(''),
});

export interface TestedEngine {
  readonly name: 'simulator' | 'vllm';
  /** timeouts of the suite in milliseconds: for one answer, and from spawn to ready */
  readonly answerWithinMs: number;
  readonly startWithinMs: number;
  /**
   * Fields that make it write entire words, like a trained model: only such a text is tokenised to the same tokens
   * again. The simulator writes no other.
   */
  readonly ordinaryWords: object;
  /** texts of its tokenizer's special tokens, with their ids; empty for the simulator, which has none */
  readonly specialTokens: readonly { readonly id: number; readonly content: string }[];
  /**
   * Redis, one gateway and one launcher with one engine; prints the duration of the start
   * @param workerEnv further settings of the launcher
   */
  start(workerEnv?: Readonly<Record<string, string>>): Promise<Stack>;
  /** Stops its core, while its API server still answers. @param leader of its group */
  freeze(engine: { readonly socket?: string | undefined }, leader: number): Promise<void>;
}

/** Few slots, so that a test fills them; further requests wait in our queue. */
const SLOTS = { WORKER_MAX_IN_FLIGHT_TEXT: '4', WORKER_MAX_IN_FLIGHT_IMAGE: '2' };
/** A picture with the fewest tiles, 2 of at most 17, because a CPU without wide vectors needs many seconds per tile. */
const FEW_TILES = '--mm-processor-kwargs {"num_crops":1}';

const Tokenizer = z.object({
  model: z.object({ vocab: z.record(z.string(), z.number()) }),
  added_tokens: z.array(z.object({ id: z.number(), content: z.string(), special: z.boolean() })),
});

const tokenizerOf = (weights: string): z.infer<typeof Tokenizer> =>
  Tokenizer.parse(JSON.parse(readFileSync(join(weights, 'tokenizer.json'), 'utf8')));

/** Tokens that are a word with its leading blank. @param weights folder of the model */
function wholeWords(weights: string): number[] {
  const { vocab } = tokenizerOf(weights).model;
  const words = Object.entries(vocab).filter(([piece]) => /^▁[a-z]{4,8}$/.test(piece));
  return words.slice(0, 1_000).map(([, id]) => id);
}

/** pid of the engine core; 0 if there is none. @param leader of the engine's group */
export function corePid(leader: number): number {
  const isCore = ({ pid }: { readonly pid: number }): boolean =>
    readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('VLLM::EngineCore');
  return groupMembers(leader).find(isCore)?.pid ?? 0;
}

/** The engine under test of `npm run test:vllm` or `npm test`. */
export function testedEngine(): TestedEngine {
  const { PENSTOCK_TEST_ENGINE: name, PENSTOCK_TEST_WEIGHTS: weights } = Settings.parse(process.env);
  const real = name === 'vllm';
  const answerWithinMs = real ? 90_000 : 10_000;
  const startWithinMs = real ? 300_000 : 60_000;
  return {
    name,
    answerWithinMs,
    startWithinMs,
    specialTokens: real ? tokenizerOf(weights).added_tokens.filter(({ special }) => special) : [],
    ordinaryWords: real ? { allowed_token_ids: wholeWords(weights) } : {},
    freeze: async (engine, leader) => {
      if (real) process.kill(corePid(leader), 'SIGSTOP');
      else await setFaults(engine, { 'freeze-core': true });
    },
    start: async (workerEnv = {}) => {
      const startedAt = performance.now();
      const stack = await startStack({
        readyWithinMs: startWithinMs,
        stopWithinMs: real ? 60_000 : 10_000,
        // A request that lost its engine waits for the next one.
        gatewayEnv: { GATEWAY_NO_ENGINE_HOLD_MS: String(startWithinMs), GATEWAY_TOKENIZE: 'true' },
        workerEnv: {
          ...SLOTS,
          ...workerEnv,
          WORKER_ENGINE: name,
          ...(real
            ? { WORKER_WEIGHTS: weights, WORKER_ENGINE_ARGS: `--load-format dummy --enforce-eager ${FEW_TILES}` }
            : { PENSTOCK_SIM_ITL_MS: '4', PENSTOCK_SIM_CORE_PROCESS: 'true', WORKER_ENGINE_ARGS: FEW_TILES }),
        },
      });
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
      process.stdout.write(`${name}: ready after ${seconds} s\n`);
      return stack;
    },
  };
}
