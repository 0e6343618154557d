import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { FirstBytes, type Waiting } from '../../../worker-launcher/dispatch/first-bytes.ts';

beforeAll(() => void jest.useFakeTimers());
afterAll(() => void jest.useRealTimers());
const pass = (seconds: number): unknown => jest.advanceTimersByTime(seconds * 1_000);

function begin(engine: FirstBytes): Waiting {
  const answer = engine.begin(100);
  answer.begun();
  answer.heard();
  return answer;
}

test('answers that get stuck one after another are a silence as long as that of the first, however many are young', () => {
  const engine = new FirstBytes();
  for (let second = 0; second < 10; second += 1) {
    begin(engine);
    pass(1);
  }
  expect(engine.report.stuckMs).toBe(10_000);
});

test('one that is stuck among others of its age that go on is no silence of the engine', () => {
  const engine = new FirstBytes();
  const [, ...others] = [begin(engine), begin(engine), begin(engine)];
  pass(20);
  for (const answer of others) answer.heard();
  expect(engine.report.stuckMs).toBe(0);
  pass(3);
  expect(engine.report.stuckMs).toBe(3_000);
});

test('what is held back is not stuck', () => {
  const engine = new FirstBytes();
  const answer = begin(engine);
  answer.holdBack(true);
  pass(20);
  expect(engine.report.stuckMs).toBe(0);
  answer.holdBack(false);
  pass(2);
  expect(engine.report.stuckMs).toBe(2_000);
});

test('a request counts as headless until the head of its answer, and as waiting until its first byte', () => {
  const engine = new FirstBytes();
  const answer = engine.begin(100);
  pass(1);
  expect(engine.report).toMatchObject({ headless: 1, waiting: 100, silentMs: 1_000, heardAgoMs: null });
  answer.begun();
  expect(engine.report).toMatchObject({ headless: 0, waiting: 100, silentMs: 1_000, heardAgoMs: null });
  answer.heard();
  expect(engine.report).toMatchObject({ headless: 0, waiting: 0, silentMs: 0, heardAgoMs: 0 });
});

test('a later request with a first byte does not excuse the silence of an earlier stream, but an earlier one does', () => {
  const engine = new FirstBytes();
  const earlier = engine.begin(100);
  pass(1);
  engine.begin(100).begun();
  pass(5);
  begin(engine);
  expect(engine.report.silentMs).toBe(5_000);
  earlier.heard();
  expect(engine.report.silentMs).toBe(0);
});

test('an answer that is not streamed may wait for as long as it takes, while others get their first bytes', () => {
  const engine = new FirstBytes();
  engine.begin(100);
  pass(30);
  begin(engine);
  expect(engine.report.silentMs).toBe(0);
});
