import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { deniedTo, LOOSE_FILES, placeOf, PROGRAMS, ROOMS } from '../../oxlint.config.mjs';

/** A file, an import in it, and whether a room's rule refuses it. */
type Sample = readonly [file: string, imported: string, isRefused: boolean];

/** In the room and in a subfolder, because `../` means another folder there. */
const SAMPLES = ROOMS.flatMap((room) =>
  [`${room.path}/a.ts`, `${room.path}/folder/b.ts`].flatMap((file) => samples(room, file)),
);
const Report = z.object({ diagnostics: z.array(z.object({ code: z.string(), filename: z.string() })) });
let refused = new Set<string>();
let folder = '';

function samples(room: (typeof ROOMS)[number], file: string): Sample[] {
  const { program } = placeOf(room);
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

test.each(ROOMS.map(({ path }) => path))('%s may import exactly what its rule allows', (path) => {
  const own = [...SAMPLES.entries()].filter(([, [file]]) => [`${path}/a.ts`, `${path}/folder/b.ts`].includes(file));
  const wrong = own.filter(([index, [file, , isRefused]]) => refused.has(nameOf(index, file)) !== isRefused);
  expect(own.length).toBeGreaterThan(4);
  expect(wrong.map(([, sample]) => sample)).toEqual([]);
});

test.each(PROGRAMS)('a page has a row for each room of %s', async (program) => {
  const isInner = program.includes('/');
  const page = await readFile(isInner ? `${program}/README.md` : 'ARCHITECTURE.md', 'utf8');
  const rooms = roomsOf(program).map((room) => (isInner ? `${room}/` : `${program}/${room}`));
  expect(rooms.filter((room) => !page.includes(`\n| \`${room}\` `))).toEqual([]);
});

test('the rooms of the simulator import lower ones only', () => {
  const rooms = ROOMS.filter((room) => placeOf(room).program === 'worker-launcher/simulator');
  const lower = new Set<string>(LOOSE_FILES['worker-launcher/simulator']);
  for (const room of rooms) {
    expect(room.may.filter((one) => !lower.has(one))).toEqual([]);
    lower.add(placeOf(room).room.join('/'));
  }
});

describe.each(PROGRAMS)('%s', (program) => {
  test('every folder is a room with a rule, and only the named files are outside', async () => {
    const entries = await readdir(program, { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    expect(new Set(folders)).toEqual(new Set(roomsOf(program).map((room) => room.split('/')[0])));
    expect(files.filter((name) => name.endsWith('.ts')).sort()).toEqual([...LOOSE_FILES[program]].sort());
  });
});

function roomsOf(program: string): string[] {
  return ROOMS.map(placeOf).flatMap((place) => (place.program === program ? [place.room.join('/')] : []));
}
