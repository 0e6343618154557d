import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { GrowingFile, inOrderOfTime, logsIn } from '../../../../deploy/local/commands/log-files.mjs';
import { isWanted, logText, readLogLine } from '../../../../deploy/local/commands/log-text.mjs';

const folder = mkdtempSync(join(tmpdir(), 'penstock-logs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const base = { level: 'info', time: '2026-12-01T10:00:00.123Z', program: 'gateway', pid: 7 };
const shown = (line: object): string => logText(readLogLine(JSON.stringify({ ...base, ...line })) ?? {});

test('a request is one line with status, key, model and how long each phase took', () => {
  const request = {
    event: 'request',
    dialect: 'openai',
    method: 'POST',
    path: '/v1/chat/completions',
    status: 200,
    outcome: 'answered',
    requestId: 'r1',
    callerRequestId: 'c1',
    keyId: 'oslo',
    model: 'phi',
    stream: true,
    kind: 'text',
    enqueuedMs: 4,
    claimedMs: 10,
    firstByteMs: 60,
    totalMs: 160,
    promptTokens: 5,
    completionTokens: 9,
  };
  expect(shown(request)).toBe(
    '2026-12-01 10:00:00.123 info  gateway         200 POST /v1/chat/completions  answered  key oslo  model phi  text stream' +
      '  160 ms (before the queue 4, queue 6, first byte 50, rest 100)  tokens 5+9  dialect=openai  requestId=r1  callerRequestId=c1',
  );
  expect(shown({ event: 'request', method: 'GET', path: '/x', status: 404, totalMs: 1 })).toContain('  1 ms');
});

test('any other line has its event and its fields; errors have no stack, and nothing controls the terminal', () => {
  const cause = {
    name: 'Error',
    code: 'ECONNREFUSED',
    message: 'no\u001b[2J',
    stack: 'at x',
    cause: { message: 'why' },
  };
  expect(shown({ level: 'error', event: 'redis connection lost', attempt: 2, cause })).toBe(
    '2026-12-01 10:00:00.123 error gateway         redis connection lost  attempt=2  cause=Error ECONNREFUSED no [2J, because of why',
  );
  const who = { kind: 'user', name: 'root' };
  expect(shown({ level: undefined, audit: 1, act: 'key.created', what: 'oslo', result: 'done', who })).toBe(
    '2026-12-01 10:00:00.123 audit gateway         key.created  oslo  done  by user root',
  );
});

test('filters: a level and those above it, a request by either id; last words of a program have each level', () => {
  const line = { ...base, level: 'warn', event: 'x', requestId: 'r1', callerRequestId: 'c1' };
  expect([isWanted(line, { level: 'warn' }), isWanted(line, { level: 'error' })]).toEqual([true, false]);
  expect(['r1', 'c1', 'r2'].map((request) => isWanted(line, { request }))).toEqual([true, true, false]);
  expect([isWanted(undefined, { level: 'error' }), isWanted(undefined, { request: 'r1' })]).toEqual([true, false]);
});

test.each(['', 'no JSON', '{"half":', '{"event":"without a time"}', '[1]', '{"time":"x"}'])(
  '%j is no line of the log',
  (text) => {
    expect(readLogLine(text)).toBeUndefined();
  },
);

test('several logs come in the order of their times; what has no time follows the line above it', () => {
  const at = (second: number): string =>
    JSON.stringify({ ...base, time: `2026-12-01T10:00:0${second}.000Z`, event: 'e' });
  const first = [at(1), 'last words', at(4)];
  const second = [at(2), at(3)];
  expect([...inOrderOfTime([first.values(), second.values()])]).toEqual([at(1), 'last words', at(2), at(3), at(4)]);
});

test('a growing log is read on from where it was, also after it was replaced by a shorter one', () => {
  const path = join(folder, 'gateway-2.log');
  writeFileSync(path, 'one\ntw');
  writeFileSync(join(folder, 'redis.log'), 'not ours\n');
  expect(logsIn(folder)).toEqual([path]);
  const file = new GrowingFile(path);
  expect([...file.more(false)]).toEqual(['one']);
  appendFileSync(path, 'o\nü');
  expect([...file.more(false)]).toEqual(['two']);
  writeFileSync(path, 'new\n');
  expect([...file.more(false)]).toEqual(['new']);
  appendFileSync(path, 'rest');
  expect([...file.more(true)]).toEqual(['rest']);
});
