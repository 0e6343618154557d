import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { problemsOfText } from '../../gateway/cards/check-card.ts';
import { parseProviderFile } from '../../gateway/identity/provider-file.ts';
import { parseKeyFile } from '../../gateway/keys/key-file.ts';
import { pageProblems, sourceProblems } from '../documents/checks.mjs';
import { pages, sources } from '../documents/files.mjs';
import { readPage } from '../documents/page.mjs';

const yaml = pages('.')
  .flatMap((file) => readPage(file, readFileSync(file, 'utf8')).blocks)
  .filter(({ language }) => language === 'yaml');

test('links, blocks of code and sentences of the pages are as they should be', () => {
  expect(pageProblems('.', pages('.'))).toEqual([]);
});

test('comments and messages of the programs have no banned turn', () => {
  expect(sources('.').length).toBeGreaterThan(300);
  expect(sourceProblems('.', sources('.'))).toEqual([]);
});

test('the programs take the key files and model cards of the pages', () => {
  for (const { form, page, line, text } of yaml) {
    if (form === 'keys') expect([page, line, parseKeyFile(text).length > 0]).toEqual([page, line, true]);
    if (form === 'identity') expect([page, line, parseProviderFile(text).length > 0]).toEqual([page, line, true]);
    if (form === 'card') expect([page, line, problemsOfText(text)]).toEqual([page, line, []]);
  }
});
