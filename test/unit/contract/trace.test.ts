import { expect, test } from '@jest/globals';
import { JobV1, writtenJob } from '#contract/job';
import { readTraceContext } from '#contract/trace';

const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

test('a caller’s context is taken as W3C Trace Context writes it', () => {
  expect(readTraceContext(PARENT, undefined)).toEqual({ traceparent: PARENT });
  const tracestate = 'rojo=00f067aa0ba902b7,tenant@congo=t61rcWkgMzE';
  expect(readTraceContext(PARENT, tracestate)).toEqual({ traceparent: PARENT, tracestate });
});

test.each([
  ['no header', undefined],
  ['two headers', `${PARENT}, ${PARENT}`],
  ['capitals', PARENT.toUpperCase()],
  ['no trace id', '00-00000000000000000000000000000000-00f067aa0ba902b7-01'],
  ['no span id', '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01'],
  ['another version', PARENT.replace('00', 'ff')],
  ['more at its end', `${PARENT}-what`],
  ['a second line', `${PARENT}\r\nx-evil: 1`],
])('a traceparent with %s is no context', (_what, traceparent) => {
  expect(readTraceContext(traceparent, undefined)).toBeUndefined();
});

test.each([
  ['too long', `a=${'x'.repeat(512)}`],
  ['too many members', Array.from({ length: 33 }, (_, n) => `k${n}=v`).join(',')],
  ['a line break', 'a=b\r\nx-evil: 1'],
  ['no value', 'a'],
  ['other characters', 'a=ü'],
])('a tracestate that is %s is left out', (_what, tracestate) => {
  expect(readTraceContext(PARENT, tracestate)).toEqual({ traceparent: PARENT });
});

test('a long tracestate without an end is refused quickly', () => {
  const startedAt = performance.now();
  expect(readTraceContext(PARENT, `${'a=b ,'.repeat(100)}`)).toEqual({ traceparent: PARENT });
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test('a job with a trace is read again, and one without it too', () => {
  const job = {
    requestId: 'g-1-1',
    epoch: 1,
    model: 'm',
    kind: 'text',
    deadlineMs: 1,
    replica: 'g',
    path: '/v1/chat/completions',
  } as const;
  const trace = { traceparent: PARENT, former: PARENT, asked: { 'gen_ai.request.temperature': 0.5 } };
  expect(JobV1.parse(JSON.parse(JSON.stringify(writtenJob({ ...job, trace })))).trace).toEqual(trace);
  expect(JobV1.parse(writtenJob(job)).trace).toBeUndefined();
});
