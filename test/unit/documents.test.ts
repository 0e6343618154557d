import { expect, test } from '@jest/globals';
import { pageProblems, sourceProblems } from '../documents/checks.mjs';
import { pages, sources } from '../documents/files.mjs';
import { isPending } from '../documents/pending.mjs';

const isChecked = (file: string): boolean => !isPending(file);

test('links, blocks of code and sentences of the pages are as they should be', () => {
  expect(pageProblems('.', pages('.').filter(isChecked))).toEqual([]);
});

test('comments and messages of the programs have no banned turn', () => {
  expect(sources('.').length).toBeGreaterThan(300);
  expect(sourceProblems('.', sources('.').filter(isChecked))).toEqual([]);
});
