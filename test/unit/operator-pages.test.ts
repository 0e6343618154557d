import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { z } from 'zod';
import { DRILLS } from '../drill/catalog.mjs';
import { HELP } from '../../deploy/local/up/options.mjs';

const OPERATIONS = 'deploy/operations.md';
const read = (path: string): string => readFileSync(path, 'utf8');
/** The code spans in the column of a section's tables, in their order. */
const column = (page: string, heading: string, index: number): string[] => {
  const section = read(page).split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return rows.flatMap((row) => [...(row.split('|')[index]?.matchAll(/`([^`]+)`/g) ?? [])].map(([, code = '']) => code));
};

test('each alert has its steps, and no other; its runbook_url leads to them', () => {
  const annotations = z.object({ runbook_url: z.string() });
  const Rules = z.object({
    groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string(), annotations })) })),
  });
  const { groups } = Rules.parse(parse(read('deploy/observability/alerts.yaml')));
  const rules = groups.flatMap((group) => group.rules);
  const [, part = ''] = read(OPERATIONS).split('\n## Alerts and what to do\n');
  const [, ...sections] = (part.split('\n## ')[0] ?? '').split('\n### ');
  expect(sections.map((section) => section.split('\n')[0])).toEqual(rules.map(({ alert }) => alert));
  const steps = sections.map((section) => [...section.matchAll(/^- \*\*(.+?):\*\* \S/gm)].map(([, step]) => step));
  expect(steps).toEqual(sections.map(() => ['Means', 'Look at', 'Do']));
  // GitHub and GitLab write the anchor of a heading in small letters.
  expect(rules.map((rule) => rule.annotations.runbook_url)).toEqual(
    rules.map(({ alert }) => `${OPERATIONS}#${alert.toLowerCase()}`),
  );
});

test('each drill has its row, and no other', () => {
  expect(column('deploy/README.md', 'When a part dies', 2).toSorted()).toEqual(
    DRILLS.map(({ name }) => name).toSorted(),
  );
});

test('each option of a start has its row, and no other', () => {
  const options = [...HELP.matchAll(/^ {2}(--[a-z-]+) [A-Z]+/gm)].map(([, option = '']) => option);
  const told = column('deploy/README.md', 'One machine: npm start', 1).map((option) => option.split(' ')[0]);
  expect(told).toEqual(options);
});

test('each cause of a failed start has its row, and no other', () => {
  const source = read('worker-launcher/engine/start-failure.ts');
  const causes = [...source.matchAll(/cause: '(\w+)'/g), ...source.matchAll(/cause: .* : '(\w+)'/g)];
  const told = column('worker-launcher/README.md', 'If an engine does not start', 1);
  expect(told.slice(1).toSorted()).toEqual([...new Set(causes.map(([, cause = '']) => cause))].toSorted());
});

test('each event of a log line that a page names is logged somewhere', () => {
  const programs = ['gateway', 'worker-launcher'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => read(`${folder}/${file}`)),
  );
  const [, table = ''] = read(OPERATIONS).split('\n| event begins with |');
  const events = (table.split('\n\n')[0] ?? '').split('\n').slice(2);
  const named = events.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)]);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter(([, event = '']) => !programs.some((text) => text.includes(`'${event}`)))).toEqual([]);
});

test('the map of the tests has each folder and each command', () => {
  const map = read('test/README.md');
  const { scripts } = z.object({ scripts: z.record(z.string(), z.string()) }).parse(JSON.parse(read('package.json')));
  const commands = Object.keys(scripts).filter((name) => !name.startsWith('pre'));
  const written = (name: string): string =>
    ['start', 'test'].includes(name) ? `\`npm ${name}` : `\`npm run ${name}\``;
  expect(commands.filter((name) => !map.includes(written(name)))).toEqual([]);
  const folders = readdirSync('test', { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).filter((name) => !map.includes(`\`${name}\``))).toEqual([]);
});
