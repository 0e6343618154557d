import { spawnSync } from 'node:child_process';
import { expect, test } from '@jest/globals';
import { firstRequests, statusLine } from '../../../../deploy/local/up/pasted.mjs';

/** The arguments of a line, as a shell splits it. */
const argumentsOf = (line: string): string[] =>
  spawnSync('sh', ['-c', `for word in ${line}; do printf '%s\\n' "$word"; done`], { encoding: 'utf8' })
    .stdout.trimEnd()
    .split('\n');

test.each(['/a/plain-1.folder', '/mit Leer', "/it's", '/$HOME `x` "y" \\ *', '/a;b&c'])(
  'F2: a shell reads the printed line for the folder %s correctly',
  (folder) => {
    expect(argumentsOf(statusLine(folder))).toEqual(['npx', 'penstock', 'status', '--data-dir', folder]);
  },
);

test('F2: for the default folder the line is short, and a plain folder is not quoted', () => {
  expect(statusLine(undefined)).toBe('npx penstock status');
  expect(statusLine('/a/b')).toBe('npx penstock status --data-dir /a/b');
});

test('a shell reads the bodies of the first requests correctly', () => {
  const { chat } = firstRequests('http://127.0.0.1:1', "o'model", false);
  expect(argumentsOf(chat).at(-1)).toBe(
    '{"model":"o\'model","max_tokens":24,"messages":[{"role":"user","content":"Say hello."}]}',
  );
});
