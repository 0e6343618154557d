import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { deniedTo, LOOSE_FILES, ROOMS } from '../../oxlint.config.mjs';

/** A file, an import that stands in it, and whether a room's rule refuses it. */
type Sample = readonly [file: string, imported: string, isRefused: boolean];

/** In the room itself and in a folder of it, as `../` means another folder there. */
const SAMPLES = ROOMS.flatMap((room) =>
  [`${room.path}/a.ts`, `${room.path}/folder/b.ts`].flatMap((file) => samples(room, file)),
);
const Report = z.object({ diagnostics: z.array(z.object({ code: z.string(), filename: z.string() })) });
let refused = new Set<string>();
let folder = '';

function samples(room: (typeof ROOMS)[number], file: string): Sample[] {
  const program = room.path.split('/')[0] ?? '';
  const other = program === 'gateway' ? 'worker-launcher/config.ts' : 'gateway/relay/relay.ts';
  const from = (target: string): string => relative(dirname(file), target);
  const inProgram = (one: string): string => from(`${program}/${one}${one.endsWith('.ts') ? '' : '/x.ts'}`);
  const foreign = [...room.samples, from(other), from('test/support/redis.ts'), from(`${program}/main.ts`)];
  return [
    ...[...foreign, ...deniedTo(room).map(inProgram)].map((imported) => [file, imported, true] as const),
    ...room.may.map((one) => [file, inProgram(one), false] as const),
    [file, from(`${room.path}/y.ts`).replace(/^(?!\.)/, './'), false],
    [file, 'zod', false],
  ];
}

const nameOf = (index: number, file: string): string => join(dirname(file), `sample-${index}.ts`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penstock-lint-'));
  // Globs of the rules are relative to the folder of their file.
  await writeFile(join(folder, 'oxlint.config.mjs'), `export { default } from '${resolve('oxlint.config.mjs')}';\n`);
  for (const [index, [file, imported]] of SAMPLES.entries()) {
    const path = join(folder, nameOf(index, file));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `import { x } from '${imported}';\nexport const y = x;\n`);
  }
  const output = await new Promise<string>((done) => {
    const args = ['-c', 'oxlint.config.mjs', '-f', 'json'];
    const options = { cwd: folder, maxBuffer: 64 * 1024 * 1024 };
    execFile(resolve('node_modules/.bin/oxlint'), args, options, (_error, stdout) => done(stdout));
  });
  const { diagnostics } = Report.parse(JSON.parse(output));
  refused = new Set(diagnostics.filter(({ code }) => code.includes('no-restricted-imports')).map((d) => d.filename));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each(ROOMS.map(({ path }) => path))('%s imports what its rule allows, and nothing else', (path) => {
  const own = [...SAMPLES.entries()].filter(([, [file]]) => [`${path}/a.ts`, `${path}/folder/b.ts`].includes(file));
  const wrong = own.filter(([index, [file, , isRefused]]) => refused.has(nameOf(index, file)) !== isRefused);
  expect(own.length).toBeGreaterThan(4);
  expect(wrong.map(([, sample]) => sample)).toEqual([]);
});

test('ARCHITECTURE.md says of each room what it promises', async () => {
  const page = await readFile('ARCHITECTURE.md', 'utf8');
  expect(ROOMS.filter(({ path }) => !page.includes(`\n| \`${path}\` `))).toEqual([]);
});

describe.each(['gateway', 'worker-launcher'] as const)('%s', (program) => {
  test('every folder is a room with a rule, and no file stands outside but those that are named', async () => {
    const entries = await readdir(program, { withFileTypes: true });
    const rooms = ROOMS.filter(({ path }) => path.startsWith(`${program}/`)).map(({ path }) => path.split('/')[1]);
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    expect(new Set(folders)).toEqual(new Set(rooms));
    expect(new Set(files)).toEqual(new Set(LOOSE_FILES[program]));
  });
});
