import { expect, test } from '@jest/globals';
import { entryId, LAST_ENTRY, seamId } from '#contract/answer-log';
import type { Frame, FrameType } from '#contract/frame';
import { engineAnswer } from '../../../gateway/answer/engine/answer.ts';
import { WholeReply } from '../../../gateway/answer/whole-reply.ts';
import { LogReplay } from '../../../gateway/durable/log-replay.ts';
import type { LogEntry } from '../../../gateway/durable/log-entries.ts';

const FIRST = { epoch: 1, attempt: 1, random: 5 };
const replay = (): LogReplay =>
  new LogReplay('/v1/chat/completions', new WholeReply(engineAnswer('/v1/chat/completions', 1), 'messages'), () => 0);
const entry = (life: typeof FIRST, n: number, type: FrameType, payload = '{}'): LogEntry => {
  const frame: Frame = { type, requestId: '', epoch: life.epoch, attempt: life.attempt, payload: Buffer.from(payload) };
  return { id: entryId(life, n), frames: [frame], note: undefined };
};
const claimed = (life: typeof FIRST): LogEntry => entry(life, 0, 'claimed', '{"engine":"e","waits":false}');
const begun = (): LogReplay => {
  const one = replay();
  for (const taken of [claimed(FIRST), entry(FIRST, 1, 'head', '{"status":200,"contentType":"application/json"}')])
    one.take(taken);
  return one;
};
const again = (after: string): LogEntry => ({ id: seamId(2), frames: [], note: '{"kind":"again"}', after });
const LOST = 'Redis lost a part of the kept answer';

test('a reader goes on over a seam, or another attempt, that follows what it has', () => {
  const one = begun();
  one.take(again(entryId(FIRST, 1)));
  expect(one.epoch).toBe(2);
  const other = replay();
  other.take(claimed(FIRST));
  other.take(claimed({ ...FIRST, attempt: 2 }));
  expect(other.last).toBe(entryId({ ...FIRST, attempt: 2 }, 0));
});

test.each<[string, LogEntry]>([
  ['a seam that follows an earlier entry', again(entryId(FIRST, 0))],
  [
    'an end that follows an earlier entry',
    { ...again(entryId(FIRST, 0)), id: LAST_ENTRY, note: '{"state":"completed"}' },
  ],
  ['another attempt of the epoch', claimed({ ...FIRST, attempt: 2 })],
  ['another attempt with the same number', claimed({ ...FIRST, random: 6 })],
  ['the rest of another attempt', entry({ ...FIRST, random: 6 }, 2, 'data')],
  ['an entry after a gap', entry(FIRST, 3, 'data')],
])('after a fail-over, a reader that has more than the log ends in an error: %s', (_what, next) => {
  expect(() => begun().take(next)).toThrow(LOST);
});
