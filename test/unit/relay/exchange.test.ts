import { expect, test } from '@jest/globals';
import type { Frame } from '#contract/frame';
import { Exchange } from '../../../gateway/relay/exchange.ts';

function open() {
  const seen: string[] = [];
  const exchange = new Exchange({
    path: '/v1/chat/completions',
    onGone: () => {},
    requestId: 'g-1',
    model: 'm',
    idleMs: 1_000,
    deadlineAt: 10_000,
    onClaimed: () => seen.push('claimed'),
    onTaken: () => {},
    onHead: (head) => seen.push(`head ${head.status}`),
    onData: (chunk) => seen.push(chunk.toString()),
    onOver: (failure) => seen.push(failure?.code ?? 'end'),
  });
  const take = (type: Frame['type'], epoch: number, attempt: number, payload: object | string = '', from = 'd1') =>
    exchange.take(
      from,
      {
        type,
        requestId: 'g-1',
        epoch,
        attempt,
        payload: Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)),
      },
      0,
    );
  return { exchange, seen, take };
}
const first = { engine: 'engine-0', waits: false };
const repeat = { engine: 'engine-1', waits: true };
const ok = { status: 200, contentType: 'text/event-stream' };

test('the ordinary way: claimed, head, data, end', () => {
  const { seen, take } = open();
  expect(take('claimed', 1, 1, first)).toEqual({ kind: 'none' });
  take('head', 1, 1, ok);
  expect(seen).toEqual(['claimed']);
  take('data', 1, 1, 'a');
  take('data', 1, 1, 'b');
  take('end', 1, 1);
  expect(seen).toEqual(['claimed', 'head 200', 'a', 'b', 'end']);
});

test('a repeated pickup before any byte is cleared to start, and the first no longer counts', () => {
  const { seen, take } = open();
  take('claimed', 1, 1, first);
  take('head', 1, 1, ok);
  expect(take('claimed', 1, 2, repeat, 'd2')).toEqual({ kind: 'go', token: { epoch: 1, attempt: 2 } });
  expect(take('data', 1, 1, 'stale')).toMatchObject({ kind: 'cancel', dispatcher: 'd1' });
  take('head', 1, 2, ok, 'd2');
  take('data', 1, 2, 'fresh', 'd2');
  expect(seen).toEqual(['claimed', 'head 200', 'fresh']);
});

test('once bytes arrived, a repeated attempt is cancelled, so that no client gets a token twice', () => {
  const { seen, take } = open();
  take('claimed', 1, 1, first);
  take('data', 1, 1, 'a');
  expect(take('claimed', 1, 2, repeat, 'd2')).toMatchObject({ kind: 'cancel', dispatcher: 'd2' });
  take('data', 1, 1, 'b');
  expect(seen).toEqual(['claimed', 'a', 'b']);
});

test('frames of a given-up epoch are ignored', () => {
  const { exchange, seen, take } = open();
  take('claimed', 1, 1, first);
  take('data', 1, 1, 'a');
  expect(exchange.reopen()).toBe(2);
  expect(take('data', 1, 1, 'stale')).toMatchObject({ kind: 'cancel' });
  expect(take('claimed', 1, 2, repeat)).toMatchObject({ kind: 'cancel' });
  expect(take('claimed', 2, 1, repeat, 'd2')).toEqual({ kind: 'go', token: { epoch: 2, attempt: 1 } });
  take('data', 2, 1, 'b', 'd2');
  expect(seen).toEqual(['claimed', 'a', 'claimed', 'b']);
});

test('H1: if the frame of an earlier, returned pickup arrives last, the later pickup continues', () => {
  const { seen, take } = open();
  expect(take('claimed', 1, 2, repeat, 'd2')).toEqual({ kind: 'go', token: { epoch: 1, attempt: 2 } });
  expect(take('claimed', 1, 1, first, 'd1')).toMatchObject({ kind: 'cancel', dispatcher: 'd1' });
  take('data', 1, 2, 'a', 'd2');
  expect(seen).toEqual(['claimed', 'a']);
});

test('an attempt ends once: later frames change nothing', () => {
  const { seen, take } = open();
  take('claimed', 1, 1, first);
  take('end', 1, 1);
  take('end', 1, 1);
  take('data', 1, 1, 'late');
  expect(seen).toEqual(['claimed', 'end']);
});

test('bytes without a claim are refused', () => {
  expect(open().take('data', 1, 1, 'x')).toMatchObject({ kind: 'cancel' });
});

test.each([
  ['expired', 'deadline_exceeded'],
  ['body_lost', 'body_lost'],
  ['oversized', 'answer_too_long'],
  ['worker_lost', 'worker_lost'],
])('an attempt that ends with %s gives the client %s', (reason, code) => {
  const { seen, take } = open();
  take('claimed', 1, 1, first);
  take('error', 1, 1, { reason, message: 'm' });
  expect(seen).toEqual(['claimed', code]);
});
