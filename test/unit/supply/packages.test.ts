import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { baseImages, imageProblem } from '../../supply/images.mjs';
import { looseActions, loosePython, packagesOf } from '../../supply/packages.mjs';
import { temporaryFolder } from '../../support/start-process.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const write = (file: string, text: string): void => {
  mkdirSync(dirname(join(folder.path, file)), { recursive: true });
  writeFileSync(join(folder.path, file), text);
};
const FINE = { version: '1.0.0', integrity: `sha512-${'A'.repeat(86)}==`, license: 'MIT' };

test.each([
  ['a licence that is allowed', {}, []],
  ['one of two', { license: '(GPL-3.0-only OR MIT)' }, []],
  ['two together', { license: 'MIT AND Apache-2.0' }, []],
  [
    'two together, one not allowed',
    { license: 'MIT AND GPL-3.0-only' },
    [/has the licence MIT AND GPL.* not on the list/],
  ],
  ['none', { license: undefined }, [/has no licence/]],
  ['an exception in development', { name: 'caniuse-lite', license: 'CC-BY-4.0', dev: true }, []],
  ['an exception in production', { name: 'caniuse-lite', license: 'CC-BY-4.0' }, [/allowed in development only/]],
  ['an install script', { hasInstallScript: true }, [/runs a script/]],
  ['an install script that is known', { name: '@swc/core', hasInstallScript: true, dev: true }, []],
  ['no hash', { integrity: undefined }, [/has no SHA-512/]],
  ['an old hash', { integrity: 'sha1-abc' }, [/has no SHA-512/]],
  ['another source', { resolved: 'git+ssh://git@example.com/a.git' }, [/comes from git/]],
  ['a link', { link: true }, [/is a link/]],
  ['a package that reports installations', { name: '@scarf/scarf' }, [/must not be installed/]],
])('a package with %s', (_what, more, problems) => {
  write('package-lock.json', JSON.stringify({ packages: { '': {}, 'node_modules/a': { ...FINE, ...more } } }));
  expect(packagesOf(folder.path).problems).toEqual(problems.map((problem) => expect.stringMatching(problem)));
});

test('the licence that an installed package names itself counts', () => {
  write('package-lock.json', JSON.stringify({ packages: { 'node_modules/a': FINE } }));
  write('node_modules/a/package.json', JSON.stringify({ license: 'SSPL-1.0' }));
  expect(packagesOf(folder.path).problems).toEqual([expect.stringMatching(/^a 1.0.0 has the licence SSPL-1.0/)]);
});

test('packages, Python packages and workflows without an exact version are found', () => {
  expect(loosePython('# why\npillow==13.0.0\nnumpy>=2\nrequests\nclick==8 ; python_version < "4"\n')).toEqual([
    'numpy>=2',
    'requests',
  ]);
  const commit = 'a'.repeat(40);
  expect(looseActions(`- uses: actions/checkout@v4\n- uses: a/b@${commit} # v1\n  uses: ./own\n`)).toEqual([
    'actions/checkout@v4',
  ]);
});

test('this repository has no such package, and each image of others has the tag of a version', () => {
  expect(packagesOf(ROOT).problems).toEqual([]);
  const images = baseImages(ROOT);
  expect(new Set(images.map(({ file }) => file))).toEqual(
    new Set([
      'deploy/all-in-one.Dockerfile',
      'deploy/gateway.Dockerfile',
      'deploy/worker-launcher.Dockerfile',
      'deploy/compose.yaml',
      'deploy/aks/device-plugin.yaml',
      'deploy/local/redis/redis.mjs',
      'charts/penstock/values.yaml',
    ]),
  );
  expect(images.flatMap((of) => imageProblem(of) ?? [])).toEqual([]);
  expect(imageProblem({ file: '', image: 'node', tag: 'latest', digest: undefined })).toMatch(/neither a digest/);
});
