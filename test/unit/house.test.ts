import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const MOST_LINES = 300;
/** Names without a subject, to which anything could be added. */
const SAYS_NOTHING = /(^|-)(utils?|helpers?|common|managers?|misc)\.tsx?$/;

describe.each(['gateway', 'worker-launcher'])('%s', (program) => {
  const files = readdir(program, { recursive: true }).then((names) => names.filter((name) => /\.tsx?$/.test(name)));

  test(`no file is longer than ${MOST_LINES} lines`, async () => {
    const lengths = (await files).map(async (name): Promise<[string, number]> => {
      const text = await readFile(join(program, name), 'utf8');
      return [name, text.trimEnd().split('\n').length];
    });
    expect(lengths.length).toBeGreaterThan(20);
    expect((await Promise.all(lengths)).filter(([, lines]) => lines > MOST_LINES)).toEqual([]);
  });

  test('private members are #private', async () => {
    const found = (await files).map(async (name) =>
      /^\s+(private|protected) /m.test(await readFile(join(program, name), 'utf8')) ? [name] : [],
    );
    expect((await Promise.all(found)).flat()).toEqual([]);
  });

  test('the name of each file tells its subject', async () => {
    expect((await files).filter((name) => SAYS_NOTHING.test(basename(name)))).toEqual([]);
  });
});
