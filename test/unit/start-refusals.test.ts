import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { checkMachine } from '../../worker-launcher/preflight/checks.ts';
import { checkRedis } from '../../worker-launcher/preflight/redis.ts';
import { phi3Card } from '../support/phi3-card.ts';

/** What runs before a program is ready, and can refuse the start. */
const FILES = [
  ...['audit', 'entra-token', 'followed-file', 'redis-check', 'redis-refusal'].map(
    (name) => `gateway/runtime/${name}.ts`,
  ),
  ...['redis-target', 'setting-file', 'settings', 'yaml-folder'].map((name) => `gateway/runtime/${name}.ts`),
  'gateway/contract/model-card.ts',
  'gateway/http/connection/certificate.ts',
  'gateway/http/connection/intake.ts',
  'gateway/identity/provider-file.ts',
  'gateway/images/fetch/address-guard.ts',
  'gateway/keys/cache-salt.ts',
  'gateway/keys/key-file.ts',
  'gateway/safety/create-safety.ts',
  'gateway/workers/scale.ts',
  'worker-launcher/engine/address.ts',
  'worker-launcher/engine/ledger.ts',
  'worker-launcher/fleet/weights.ts',
  'worker-launcher/preflight/choose-card.ts',
  'worker-launcher/preflight/engine-plan.ts',
  'worker-launcher/preflight/facts.ts',
  'worker-launcher/probes.ts',
  ...['redis', 'setup', 'up'].flatMap((folder) =>
    readdirSync(`deploy/local/${folder}`).map((file) => `deploy/local/${folder}/${file}`),
  ),
];
const TEXT = /(['"`])((?:\\.|(?!\1)[^\\])*)\1/;
/** An error with a text, also as the first line of several, and the rows of Redis' refusals. */
const REFUSED = new RegExp(`(?:new (?:Error|Refusal|Unfit)\\(|sentence:|=>)\\s*\\[?\\s*${TEXT.source}`, 'g');

/** The sentences of a file; `…` stands for what differs. */
const refusalsIn = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(REFUSED)]
    .filter(([all]) => all.startsWith('new') || file.endsWith('redis-refusal.ts'))
    .map(([, , text = '']) => text.replaceAll(/\$\{[^}]*\}/g, '…').replaceAll(/\\(.)/g, '$1'))
    // Only what has words of its own. The words of a library are explained by the row of their reason.
    .filter((text) => /[a-z]{2,} [a-z]{2,}/.test(text) && text !== 'Connection is closed');

const [, section = ''] = readFileSync('deploy/operations.md', 'utf8').split('\n## A start that is refused\n');
const [refused = '', preflight = ''] = (section.split('\n## ')[0] ?? '').split('\n### Lines of the preflight\n');
/** The code spans in the first column of a table. */
const wordsOf = (table: string): string[] =>
  table
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, words = '']) => words));
const told = wordsOf(refused);

test('each sentence that refuses a start has a row that says what to do', () => {
  const refusals = FILES.flatMap((file) => refusalsIn(file).map((sentence) => ({ file, sentence })));
  expect(refusals.length).toBeGreaterThan(60);
  const isTold = (sentence: string): boolean =>
    told.some((words) => words.split('…').every((part) => sentence.includes(part.trim())));
  expect(refusals.filter(({ sentence }) => !isTold(sentence))).toEqual([]);
});

test('each line of the preflight has a row, and no other', () => {
  const lines = wordsOf(preflight).map((words) => words.split('…')[0]?.trim() ?? '');
  const gpu = { uuid: 'GPU-1', name: 'x', memory_mib: 1, used_mib: 1, compute_capability: 1, mig: true, ecc_errors: 1 };
  const facts = { vllm: '0.33.0', driver: '500.1', gpus: [gpu], gpu_problem: null, sku: null };
  const machine = { vcpus: 1, memory_gib: 1, free_disk_gib: 1, ...facts };
  const checks = [
    ...checkMachine(phi3Card(), machine, 0.9),
    ...checkRedis({ name: 'queue and replies', at: '', found: 'no' }),
    ...checkRedis({ name: 'queue', at: '', found: 'no' }),
  ];
  const planning = readFileSync('worker-launcher/preflight/placement.ts', 'utf8');
  const problems = [...planning.matchAll(/problems\.push\(([^]*?)\n {4}\);/g)].flatMap(([, call = '']) =>
    [...call.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text),
  );
  const printed = [...checks.map(({ what }) => what), ...problems, 'weights '];
  expect(printed.length).toBeGreaterThan(12);
  expect(printed.filter((text) => !lines.some((line) => text.includes(line)))).toEqual([]);
  expect(lines.filter((line) => !printed.some((text) => text.includes(line)))).toEqual([]);
});

test('each row has words that a program can print', () => {
  const sources = [...FILES, 'gateway/identity/live-tokens.ts', 'gateway/keys/live-keys.ts']
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const unknown = told.filter((words) => !words.split('…').every((part) => sources.includes(part.trim())));
  expect(unknown).toEqual([]);
});

test('each file that refuses settings is looked at here', () => {
  const programs = ['gateway', 'worker-launcher'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => `${folder}/${file}`),
  );
  const refusing = programs.filter((file) => readFileSync(file, 'utf8').includes('bad configuration\\n'));
  expect(refusing.filter((file) => !FILES.includes(file))).toEqual([]);
});
