import { expect, test } from '@jest/globals';
import { z } from 'zod';
import type { Seen } from '../../azure-conformance/seen.ts';
import { differences } from '../../azure-conformance/match.ts';
import { readChecks, readYaml } from '../../azure-conformance/rows.ts';
import { streamDifferences } from '../../azure-conformance/streamed.ts';

test.each([
  [{ a: 1 }, { a: 1, b: 2 }],
  [[{ a: 1 }], [{ a: 1, b: 2 }]],
  ['/^b/', 'boat'],
  ['/^50[02]$/', 502],
  ['/BOAT/i', 'boat'],
  [{ a: '<absent>' }, { a: null }],
  [{ a: '<absent>' }, {}],
  ['<some>', 0],
  ['<text>', 'a'],
  ['<number>', 0],
  ['<list>', []],
])('%j matches %j', (pattern, seen) => {
  expect(differences('x', pattern, seen)).toEqual([]);
});

test.each([
  [{ a: 1 }, { a: '1' }, 'x.a: expected 1, seen "1"'],
  [{ a: { b: 1 } }, { a: {} }, 'x.a.b: expected 1, seen nothing'],
  [[1], [1, 2], 'x: expected [1], seen [1,2]'],
  [{}, [], 'x: expected {}, seen []'],
  ['/^b/', 'a boat', 'x: expected "/^b/", seen "a boat"'],
  ['<absent>', 0, 'x: expected "<absent>", seen 0'],
  ['<some>', null, 'x: expected "<some>", seen null'],
  ['<text>', '', 'x: expected "<text>", seen ""'],
  ['<list>', {}, 'x: expected "<list>", seen {}'],
])('%j does not match %j', (pattern, seen, told) => {
  expect(differences('x', pattern, seen)).toEqual([told]);
});

const seen = (text: string, isWhole = true): Seen => ({ status: 200, headers: {}, text, isWhole });
const piece = (content: string): string => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
const DONE = 'data: [DONE]\n\n';

test.each([
  [{ ends: 'done', text: 'ab' }, seen(piece('a') + piece('b') + DONE), []],
  [{ ends: 'done' }, seen(piece('a')), ['stream.ends: expected "done", seen "cut"']],
  [{ ends: 'done' }, seen(piece('a') + DONE, false), ['stream.ends: expected "done", seen "cut"']],
  [{ ends: 'error' }, seen(`data: {"error":{}}\n\n${DONE}`), ['stream.ends: expected "error", seen "done"']],
  [{ ends: 'done', plain: true }, seen(`: ping\n\n${DONE}`), ['stream.plain: expected "<absent>", seen ": ping"']],
  [
    { ends: 'done', plain: true },
    seen(DONE.replaceAll('\n', '\r\n')),
    ['stream.plain: expected "<absent>", seen "data: [DONE]\\r"'],
  ],
  [
    { ends: 'done', usage: 'none' },
    seen(`data: {"choices":[],"usage":{}}\n\n${DONE}`),
    ['stream.closingUsage: expected [], seen [0]'],
  ],
] as const)('a stream as %j', (expected, answer, told) => {
  expect(streamDifferences(expected, answer)).toEqual(told);
});

test('every file’s rows can be read, and a file without rows says why', () => {
  const few = readChecks().filter(({ checks }) => checks.length < 10);
  expect(few).toEqual([]);
  const Dropped = z.array(z.strictObject({ line: z.string(), why: z.string() }));
  expect(readYaml('dropped.yaml', Dropped).length).toBeGreaterThan(0);
});
