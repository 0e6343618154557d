import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from '@jest/globals';

const root = resolve(import.meta.dirname, '../..');
const IMPORT = /^(?:import|export)\b[^;]*?from '([^']+)'|^import '([^']+)'/gm;

/** What a file and the files that it loads import of packages. */
function packagesOf(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const imports = [...readFileSync(file, 'utf8').matchAll(IMPORT)].map(([, from, bare]) => from ?? bare ?? '');
  return imports.flatMap((name) => {
    if (name.startsWith('node:')) return [];
    return name.startsWith('.')
      ? packagesOf(join(file, '..', name), seen)
      : [`${file.slice(root.length + 1)}: ${name}`];
  });
}

test.each(['deploy/local/penstock.mjs', 'test/run.mjs', 'deploy/local/setup/install.mjs'])(
  '%s loads no package: it runs in a clean checkout, and installs them',
  (program) => {
    expect(packagesOf(join(root, program))).toEqual([]);
  },
);
