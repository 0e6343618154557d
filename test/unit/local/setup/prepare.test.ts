import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { ALL_TYPES, dependenciesStale, prepare, sourceHash } from '../../../../deploy/local/setup/prepare.mjs';

const LOCKED = { version: '1.0.0', integrity: 'sha512-a' };

function checkout(): Disposable & { path: string; write: (file: string, content: unknown) => void } {
  const path = mkdtempSync(join(tmpdir(), 'penstock-prepare-'));
  for (const folder of ['node_modules', 'gateway/http', 'worker-launcher']) {
    mkdirSync(join(path, folder), { recursive: true });
  }
  writeFileSync(join(path, 'tsconfig.json'), '{}');
  return {
    path,
    write: (file, content) => writeFileSync(join(path, file), JSON.stringify(content)),
    [Symbol.dispose]: () => rmSync(path, { recursive: true }),
  };
}

test('a checkout without dependencies, or with an interrupted install, needs an install', () => {
  using root = checkout();
  root.write('package-lock.json', { packages: { '': {}, 'node_modules/a': LOCKED } });
  expect(dependenciesStale(root.path, true)).toBe('first start');
});

test.each([
  ['the same', { 'node_modules/a': LOCKED }, undefined],
  ['another version', { 'node_modules/a': { ...LOCKED, version: '0.9.0' } }, 'package-lock.json has other versions'],
  [
    'other contents',
    { 'node_modules/a': { ...LOCKED, integrity: 'sha512-b' } },
    'package-lock.json has other versions',
  ],
  ['a missing one', {}, 'package-lock.json has other versions'],
])('installed is %s', (_what, installed, verdict) => {
  using root = checkout();
  const other = { ...LOCKED, optional: true, os: ['another'] };
  root.write('package-lock.json', { packages: { '': {}, 'node_modules/a': LOCKED, 'node_modules/other': other } });
  root.write('node_modules/.package-lock.json', { packages: installed });
  expect(dependenciesStale(root.path, true)).toBe(verdict);
});

test.each(['typescript', 'swagger-ui-dist', 'vite', 'preact'])(
  'unless everything is required, packages of tests and checks may be missing, but not %s, which builds',
  (name) => {
    using root = checkout();
    const [dev, compiler] = [
      { 'node_modules/jest': { ...LOCKED, dev: true } },
      { [`node_modules/${name}`]: { ...LOCKED, dev: true } },
    ];
    root.write('package-lock.json', { packages: { '': {}, 'node_modules/a': LOCKED, ...dev, ...compiler } });
    root.write('node_modules/.package-lock.json', { packages: { 'node_modules/a': LOCKED, ...compiler } });
    expect([dependenciesStale(root.path, false), dependenciesStale(root.path, true)]).toEqual([
      undefined,
      'package-lock.json has other versions',
    ]);
    root.write('node_modules/.package-lock.json', { packages: { 'node_modules/a': LOCKED } });
    expect(dependenciesStale(root.path, false)).toBe('package-lock.json has other versions');
  },
);

test('a first start, which checks no types, lacks the types by which it knows that it should not', () => {
  const Lock = z.object({ packages: z.record(z.string(), z.object({ dev: z.boolean().optional() })) });
  const { packages } = Lock.parse(
    JSON.parse(readFileSync(resolve(import.meta.dirname, '../../../../package-lock.json'), 'utf8')),
  );
  expect(packages[ALL_TYPES]).toEqual({ dev: true });
});

test('this checkout, in which the tests run, is not stale', () => {
  expect(dependenciesStale(resolve(import.meta.dirname, '../../../..'), true)).toBeUndefined();
});

test('contents and names of sources decide on a build, not their times', () => {
  using root = checkout();
  root.write('gateway/http/a.ts', 'a');
  const before = sourceHash(root.path);
  utimesSync(join(root.path, 'gateway/http/a.ts'), 1, 1);
  expect(sourceHash(root.path)).toBe(before);
  root.write('gateway/http/a.ts', 'b');
  expect(sourceHash(root.path)).not.toBe(before);
  root.write('gateway/http/a.ts', 'a');
  root.write('gateway/README.md', 'a page');
  expect(sourceHash(root.path)).toBe(before);
  root.write('worker-launcher/b.ts', '');
  expect(sourceHash(root.path)).not.toBe(before);
});

test('a published package has pages and no sources, and is neither installed nor built', async () => {
  using root = checkout();
  rmSync(join(root.path, 'tsconfig.json'));
  root.write('gateway/README.md', 'a page');
  const said: string[] = [];
  await prepare(root.path, { say: (line) => said.push(line), env: {} });
  expect(said).toEqual([]);
});

test('without npm, one sentence names what is missing', async () => {
  using root = checkout();
  await expect(prepare(root.path, { say: () => {}, env: { PATH: '' } })).rejects.toThrow(
    'the dependencies must be installed, but npm is not on PATH',
  );
});
