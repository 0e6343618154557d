import { randomInt } from 'node:crypto';
import { lifeId, type LogLife } from '#contract/answer-log';
import { frameBytes, writeFrame, type Frame } from '#contract/frame';
import type { JobV1, Token } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import type { RecentEntry } from './recent-entries.ts';

/** One more than the greatest random part of a life. */
const RANDOM_LIVES = 65_536;

/** The frames of one attempt on their way to the log. */
export interface Line {
  readonly job: JobV1;
  readonly token: Token;
  readonly life: LogLife;
  /** its first entry */
  claim: Buffer;
  readonly recordKey: string;
  readonly logKey: string;
  /** what the ids of its entries have before their numbers */
  readonly idStart: string;
  /** the gateway that owned the answer when that was last looked up */
  owner: string;
  /** the gateway that the present owner is, while the attempt runs; `release`: it gets nothing more */
  reader: { readonly replica: string; readonly address: string; readonly release: () => void } | undefined;
  /** number of its last entry */
  n: number;
  /** when that was made, monotonic ms */
  madeAt: number;
  /** frames that wait, end to end */
  pending: Buffer[];
  /** `held`: what Redis lost is written first; `lost`: nothing more is written */
  state: 'open' | 'held' | 'lost';
  /** its last frame was sent */
  hasEnd: boolean;
  /** its attempt is over, with a last frame or without */
  isOver: boolean;
}

export interface LineEntry extends RecentEntry {
  readonly line: Line;
}

export function newLine(job: JobV1, token: Token): Line {
  const life = { ...token, random: randomInt(RANDOM_LIVES) };
  const none = {
    claim: Buffer.alloc(0),
    n: 0,
    madeAt: 0,
    pending: [],
    hasEnd: false,
    isOver: false,
    reader: undefined,
  };
  const { model, requestId } = job;
  const keys = { recordKey: redisKeys.answer(model, requestId), logKey: redisKeys.answerLog(model, requestId) };
  return { job, token, life, ...keys, idStart: `${lifeId(life)}-`, state: 'open', owner: '', ...none };
}

/** A frame as logs hold it: the log's key has the request id. */
export function encoded(frame: Frame): Buffer {
  const { type, epoch, attempt, payload } = frame;
  const bare: Frame = { type, requestId: '', epoch, attempt, payload };
  const bytes = Buffer.allocUnsafe(frameBytes(bare));
  writeFrame(bare, bytes, 0);
  return bytes;
}
