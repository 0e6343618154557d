import type { Result } from 'ioredis';
import type { AnswerState } from '#contract/answer-log';
import type { RedisClient } from '#runtime/redis-client';
import {
  ADOPT,
  CANCEL,
  CREATE,
  FENCE,
  FINISH,
  HEARD,
  QUESTION,
  READ,
  RENEW,
  RESTORE,
  SEAM,
  SIZE,
  STOP,
} from './answer-scripts.ts';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockAnswerCreate(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerRestore(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerFence(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerSeam(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerFinish(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerCancel(...args: (string | number)[]): Result<[AnswerState | '', string, string], Context>;
    penstockAnswerRenew(...args: (string | number)[]): Result<string[], Context>;
    penstockAnswerAdopt(...args: (string | number)[]): Result<(string | number)[], Context>;
    penstockAnswerStop(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerQuestion(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerSize(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerRead(...args: (string | number)[]): Result<number, Context>;
    penstockAnswerHeard(...args: (string | number)[]): Result<number | null, Context>;
  }
}

/** Makes the scripts of records and logs commands of this connection. */
export function defineAnswerCommands(redis: RedisClient): void {
  const scripts = {
    Create: [CREATE, 5],
    Fence: [FENCE, 2],
    Seam: [SEAM, 2],
    Finish: [FINISH, 5],
    Question: [QUESTION, 2],
    Cancel: [CANCEL, 5],
  } as const;
  const ofOwners = { Renew: [RENEW, 1], Adopt: [ADOPT, 1], Stop: [STOP, 1], Restore: [RESTORE, 3] } as const;
  const others = { Read: [READ, 1], Heard: [HEARD, 1], Size: [SIZE, 2] } as const;
  for (const [name, [lua, numberOfKeys]] of Object.entries({ ...scripts, ...ofOwners, ...others }))
    redis.defineCommand(`penstockAnswer${name}`, { numberOfKeys, lua });
}
