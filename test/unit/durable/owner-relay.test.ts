import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { entryId, fenceId, FIRST_ENTRY } from '#contract/answer-log';
import { frameBytes, writeFrame, type Frame, type FrameType } from '#contract/frame';
import { writtenEntry } from '#contract/logged-entry';
import { eventually } from '../../support/eventually.ts';
import { silentLog } from '../../support/silent-log.ts';
import { OwnerRelay, type OwnerRelayDeps } from '../../../gateway/durable/owner-relay.ts';
import type { LogEntry } from '../../../gateway/durable/log-entries.ts';
import { Failure } from '../../../gateway/failure.ts';

const ID = 'post_1';
const LIFE = { epoch: 1, attempt: 1, random: 5 };
let relay: OwnerRelay;
let now = 0;
/** how often the registry was asked for a dispatcher, which it has or lacks */
let asked = 0;
let isAlive = true;
beforeEach(() => {
  [now, asked, isAlive] = [0, 0, true];
});
afterEach(() => relay.stop());

const entry = (n: number, type: FrameType, payload = '{}'): LogEntry => {
  const frame: Frame = { type, requestId: '', epoch: 1, attempt: 1, payload: Buffer.from(payload) };
  return { id: entryId(LIFE, n), frames: [frame], note: undefined };
};
const fence: LogEntry = { id: fenceId(2), frames: [], note: '{}', after: entryId(LIFE, 1) };
/** An open answer, and what came of it. @param log what Redis has, read each time anew */
function opened(
  log: readonly LogEntry[],
  onFence: () => void = () => {},
): { readonly got: string[]; readonly last: () => string } {
  const got: string[] = [];
  const store = {
    read: () => Promise.resolve(undefined),
    stop: () => Promise.resolve(),
    fence: () => Promise.resolve(onFence()).then(() => true),
    logs: {
      entries: (_model: string, _id: string, after: string) => Promise.resolve(log.filter(({ id }) => id > after)),
    },
  };
  const known = (): boolean => {
    asked += 1;
    return isAlive;
  };
  const deps: OwnerRelayDeps = { store, isAlive: known, clock: () => now, log: silentLog };
  relay = new OwnerRelay(deps);
  const progress = { last: FIRST_ENTRY };
  const owned = { model: 'm', id: ID, n: 1 };
  relay.expect({ owned, epoch: 1, progress, insist: (write) => write() });
  relay.open({
    requestId: ID,
    model: 'm',
    path: '/v1/chat/completions',
    idleMs: Infinity,
    deadlineAt: Infinity,
    onClaimed: () => {},
    onTaken: () => {},
    onHead: () => {},
    onData: (chunk) => got.push(chunk.toString()),
    onOver: (failure) => got.push(failure?.code ?? 'complete'),
    onGone: () => {},
  });
  return { got, last: () => progress.last };
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const claimed = entry(0, 'claimed', '{"engine":"e","waits":false}');
const head = entry(1, 'head', '{"status":200,"contentType":"text/event-stream"}');

test('an attempt that is given up ends after what it wrote before its fence, and nothing follows', async () => {
  const log = [claimed, head];
  const { got, last } = opened(log, () => log.push(entry(2, 'data', 'late'), fence));
  relay.catchUp(ID);
  await settled();
  relay.fail(ID, new Failure('worker_lost', 'lost'));
  relay.fail(ID, new Failure('engine_silent', 'lost'));
  await settled();
  relay.take({ model: 'm', id: ID }, entry(3, 'data', 'too late'), 'd');
  expect([got, last()]).toEqual([['late', 'worker_lost'], entryId(LIFE, 2)]);
});

test('a copy of an entry is taken like the entry; a copy that is lost is read from the log', async () => {
  const log = [claimed, head];
  const { got, last } = opened(log);
  relay.catchUp(ID);
  await settled();
  const frame: Frame = { type: 'data', requestId: '', epoch: 1, attempt: 1, payload: Buffer.from('copy') };
  const bytes = Buffer.alloc(frameBytes(frame));
  writeFrame(frame, bytes, 0);
  const { payload } = writtenEntry(LIFE, 2, [bytes]);
  relay.takeCopy('m', { type: 'logged', requestId: ID, epoch: 1, attempt: 1, payload }, 'd');
  relay.takeCopy('m', { type: 'logged', requestId: ID, epoch: 1, attempt: 1, payload: payload.subarray(0, 3) }, 'd');
  expect([got, last()]).toEqual([['copy'], entryId(LIFE, 2)]);
  log.push(entry(3, 'data', 'rest'));
  now += 1_001;
  await eventually('the log is read', () => got.length === 2);
  expect([got, last()]).toEqual([['copy', 'rest'], entryId(LIFE, 3)]);
});

test('an attempt that completes its answer before its fence is not lost', async () => {
  const log = [claimed, head];
  const { got } = opened(log, () => log.push(entry(2, 'end'), fence));
  relay.catchUp(ID);
  await settled();
  relay.fail(ID, new Failure('worker_lost', 'lost'));
  await settled();
  expect(got).toEqual(['complete']);
});

test('an attempt that a former owner fenced is lost', async () => {
  const { got, last } = opened([claimed, head, fence]);
  relay.catchUp(ID);
  await settled();
  expect([got, last()]).toEqual([['worker_lost'], entryId(LIFE, 1)]);
});

test('a dispatcher is gone if the registry lacks it and it writes nothing', async () => {
  const { got } = opened([]);
  const looked = async (): Promise<void> => {
    const before = asked;
    await eventually('two looks', () => asked >= before + 2);
  };
  isAlive = false;
  relay.take({ model: 'm', id: ID }, claimed, 'd');
  await looked();
  now = 3_000;
  // It paused, and reports later than it writes.
  relay.take({ model: 'm', id: ID }, head, 'd');
  await looked();
  relay.take({ model: 'm', id: ID }, entry(2, 'data', 'more'), 'd');
  expect(got).toEqual(['more']);
  await looked();
  now = 6_000;
  await eventually('it is gone', () => got.length > 1);
  expect(got).toEqual(['more', 'worker_lost']);
});

test('a dropped answer gets nothing more, though its log is being read, or is to be read again', async () => {
  const log = [claimed, head];
  const { got } = opened(log);
  relay.catchUp(ID);
  relay.take({ model: 'm', id: ID }, entry(2, 'data', 'a'), 'd');
  await settled();
  relay.catchUp(ID);
  relay.drop(ID);
  log.push(entry(2, 'data', 'a'), entry(3, 'data', 'b'));
  await settled();
  now += 1_001;
  relay.catchUp(ID);
  await settled();
  expect(got).toEqual([]);
});
