import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ModelCard, type WeightFile } from '#contract/model-card';
import { hashProblem, lockFolder, sizeProblem } from '../../../worker-launcher/preflight/weight-files.ts';
import { phi3Card } from '../../support/phi3-card.ts';
import { temporaryFolder } from '../../support/start-process.ts';

const folder = temporaryFolder();
const at = join(folder.path, 'weights');
let files: WeightFile[];
beforeAll(async () => {
  mkdirSync(join(at, 'code'), { recursive: true });
  mkdirSync(join(at, '.cache'));
  // The hub's cache has links to files of other names.
  writeFileSync(join(folder.path, 'blob'), 'x'.repeat(10_000_000));
  symlinkSync('../blob', join(at, 'model.safetensors'));
  for (const file of ['config.json', 'code/a.py', '.cache/lock']) writeFileSync(join(at, file), file);
  files = await lockFolder(at, () => {});
});
afterAll(() => folder[Symbol.dispose]());

test('a list has all files but hidden ones, and the folder passes it, with progress', async () => {
  expect(files.map(({ path, bytes }) => [path, bytes])).toEqual([
    ['code/a.py', 9],
    ['config.json', 11],
    ['model.safetensors', 10_000_000],
  ]);
  expect(sizeProblem(at, files)).toBeUndefined();
  const seen: number[] = [];
  expect(await hashProblem(at, files, (share) => seen.push(share))).toBeUndefined();
  expect(seen.toSorted((a, b) => a - b)).toEqual(seen);
  expect(seen.at(-1)).toBe(1);
  expect(seen.length).toBeGreaterThan(4);
});

test.each([
  ['is missing', { path: 'b.json', bytes: 1 }, /lacks b.json, which the card lists/],
  ['has another size', { path: 'config.json', bytes: 3 }, /config.json in .* has 11 bytes, and the card says 3/],
])('a file that %s', (_what, change, sentence) => {
  const listed = [...files.filter(({ path }) => path !== change.path), { sha256: '0'.repeat(64), ...change }];
  expect(sizeProblem(at, listed)).toMatch(sentence);
});

test('a file that the card does not list is found; texts for people are not', () => {
  for (const gone of ['code/a.py', 'model.safetensors', 'config.json'])
    expect(
      sizeProblem(
        at,
        files.filter(({ path }) => path !== gone),
      ),
    ).toBe(`${at} has ${gone}, which the card does not list`);
  for (const name of ['LICENSE', 'README.md', 'logo.png']) writeFileSync(join(at, name), '');
  expect(sizeProblem(at, files)).toBeUndefined();
  writeFileSync(join(at, 'chat_template.jinja'), '');
  expect(sizeProblem(at, files)).toBe(`${at} has chat_template.jinja, which the card does not list`);
  for (const name of ['LICENSE', 'README.md', 'logo.png', 'chat_template.jinja']) rmSync(join(at, name));
});

test('a card takes such a list, and no path that leaves the folder', () => {
  const card = phi3Card();
  const withFiles = (list: unknown) =>
    ModelCard.safeParse({ ...card, engine: { ...card.engine, files: list } }).success;
  expect(withFiles(files)).toBe(true);
  for (const path of ['../a', '/etc/passwd', 'a/../b', 'a/./b', '.hidden', '', 'a\\b'])
    expect([path, withFiles([{ ...files[0], path }])]).toEqual([path, false]);
  expect(withFiles([{ ...files[0], sha256: 'x' }])).toBe(false);
});
