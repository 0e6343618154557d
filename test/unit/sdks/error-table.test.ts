import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { STATUSES, sdks } from '../../sdks/sdks.ts';

const lines = readFileSync('gateway/README.md', 'utf8')
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()));

test.each(sdks('python').map(({ name, family }) => [name, family] as const))(
  'the page for callers has the errors of %s, and how often it repeats a request',
  (name, { classes, requests, brokenStream }) => {
    const cells = STATUSES.map((status) => {
      const count = requests[status] ?? 1;
      return classes[status] === undefined ? 'none' : `\`${classes[status]}\`${count === 1 ? '' : `, ${count}`}`;
    });
    const told = lines.find(([, first]) => first === name)?.slice(2, -1);
    expect(told).toEqual([...cells, `\`${brokenStream}\``]);
  },
);
