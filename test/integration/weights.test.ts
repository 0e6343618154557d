import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { lockHub } from '../../worker-launcher/preflight/hub-files.ts';
import { eventually } from '../support/eventually.ts';
import { startLauncher } from '../support/launcher.ts';
import { penstock } from '../support/penstock-command.ts';
import { portOf } from '../support/port-of.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { ROOT, temporaryFolder } from '../support/start-process.ts';

const CARD = 'phi-3-vision-128k-instruct.yaml';
const NAME = 'microsoft/Phi-3-vision-128k-instruct';
const REVISION = 'c45209e90a4c4f7d16b2e9d48503c7f3e83623ed';
const TOKEN = 'hf_zanzibarcanary';
/** Stands for the files of the commit; the large one is known by its hash at the hub. */
const FILES: Readonly<Record<string, string>> = {
  'config.json': '{}',
  'modeling.py': 'pass',
  'model.safetensors': 'weights'.repeat(1_000),
};
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const LISTED = Object.entries(FILES).map(([path, text]) => ({ path, bytes: text.length, sha256: sha256(text) }));
const folder = temporaryFolder();
let redis: TestRedis;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});
let count = 0;
let models = '';
let weights = '';
beforeEach(() => {
  models = join(folder.path, `models-${(count += 1)}`);
  weights = join(folder.path, `weights-${count}`);
  mkdirSync(models);
  copyFileSync(join(ROOT, 'deploy/models', CARD), join(models, CARD));
  mkdirSync(join(weights, '.cache'), { recursive: true });
  writeFileSync(join(weights, '.cache/lock'), 'of the hub’s client');
  for (const [path, text] of Object.entries(FILES)) writeFileSync(join(weights, path), text);
});
const lock = (...more: string[]) =>
  penstock(['weights', 'lock', join(models, CARD), ...more], { env: { HF_TOKEN: TOKEN } });
const listedIn = (text: string): string => text.slice(text.indexOf('\n  files:'));

/** A hub that knows one commit, and gives its files to a token. */
async function startHub() {
  const seen: string[] = [];
  const server = createServer(({ url = '', headers }, res) => {
    seen.push(url);
    const path = url.split(`/${NAME}/resolve/${REVISION}/`)[1] ?? '';
    if (headers.authorization !== `Bearer ${TOKEN}`) res.writeHead(401).end();
    else if (url === `/api/models/${NAME}/tree/${REVISION}?recursive=true`)
      res.end(
        JSON.stringify([
          { type: 'directory', path: 'folder', size: 0, oid: 'x' },
          { type: 'file', path: '.gitattributes', size: 3, oid: 'x' },
          ...LISTED.map(({ path, bytes, sha256: oid }) =>
            path.endsWith('.safetensors')
              ? { type: 'file', path, size: bytes, oid: 'x', lfs: { oid, size: bytes, pointerSize: 1 } }
              : { type: 'file', path, size: bytes, oid: 'x' },
          ),
        ]),
      );
    else if (FILES[path] === undefined || path.endsWith('.safetensors')) res.writeHead(404).end();
    else res.end(FILES[path]);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    seen,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

test('penstock weights lock writes the same list from the hub and from a folder, and keeps the card’s comments', async () => {
  using hub = await startHub();
  const before = readFileSync(join(models, CARD), 'utf8');
  const fromHub = await lock('--hub-url', hub.url);
  expect([fromHub.code, fromHub.stdout]).toEqual([0, expect.stringMatching(/^wrote 3 files, 7006 bytes, into /)]);
  expect(hub.seen.filter((url) => url.includes('resolve'))).toHaveLength(2);
  const text = readFileSync(join(models, CARD), 'utf8');
  for (const { path, bytes, sha256: hash } of LISTED)
    expect(text).toContain(`- path: ${path}\n      bytes: ${bytes}\n      sha256: ${hash}\n`);
  expect(text).toContain(before.slice(0, before.indexOf('\nengine:')));
  expect((await penstock(['card', 'check', join(models, CARD)])).code).toBe(0);
  const fromFolder = await lock('--folder', weights);
  expect(fromFolder.code).toBe(0);
  expect(listedIn(readFileSync(join(models, CARD), 'utf8'))).toBe(listedIn(text));
});

test.each([
  ['[{"type": "file", "path": "a"}]', /in a form that is not known here/],
  ['x'.repeat(5_000_000), /has more than 4194304 bytes/],
  ['not JSON', /in a form that is not known here/],
  [JSON.stringify([{ type: 'file', path: 'a', size: 9, oid: 'x' }]), /gave \d+ of the 9 bytes of a/],
])('an answer of the hub that cannot be used is refused in a sentence', async (answer, sentence) => {
  const server = createServer((_req, res) => res.end(answer)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const hub = `http://127.0.0.1:${portOf(server)}`;
  const listed = lockHub({ hub, name: NAME, revision: REVISION, token: undefined }, () => {});
  await expect(listed).rejects.toThrow(sentence);
  server.close();
  server.closeAllConnections();
});

test.each([
  [['--hub-url', 'http://127.0.0.1:1'], /does not answer/],
  [['--folder', '/'], /has no config.json|EACCES/],
  [['--folder', '/nowhere'], /ENOENT/],
])('penstock weights lock %j is refused in a sentence, and the card stays', async (options, sentence) => {
  if (options[1] === '/') options[1] = join(folder.path, 'models-1');
  const before = readFileSync(join(models, CARD), 'utf8');
  const { code, stderr } = await lock(...options);
  expect([code, stderr]).toEqual([1, expect.stringMatching(sentence)]);
  expect(stderr).not.toContain(TOKEN);
  expect(readFileSync(join(models, CARD), 'utf8')).toBe(before);
});

test('penstock preflight compares sizes, and contents if it is asked to', async () => {
  listInCard();
  change('modeling.py', 'evil');
  const env = { WORKER_WEIGHTS: weights, WORKER_SKU: 'Standard_NC48ads_A100_v4' };
  const rows = [];
  for (const more of [[], ['--hashes']]) {
    const { stdout } = await penstock(['preflight', '--models', models, ...more], { env });
    rows.push(stdout.split('\n').find((line) => / weights /.test(line)) ?? '');
  }
  expect(rows[0]).toMatch(/^ *ok +weights/);
  expect(rows[1]).toMatch(
    /MISSING +weights .*modeling.py in .* differs: its SHA-256 is [0-9a-f]{64}, and the card says/,
  );
});
/** As the command writes it. */
function listInCard(): void {
  const lines = LISTED.map(
    ({ path, bytes, sha256: hash }) => `    - {path: ${path}, bytes: ${bytes}, sha256: '${hash}'}\n`,
  );
  appendFileSync(join(models, CARD), `\n  files:\n${lines.join('')}`);
}
const change = (path: string, text: string): void => writeFileSync(join(weights, path), text);

/** A machine whose `hf` puts the folder where the hub's client does, and whose `vllm` is the simulator. */
function machine(): string {
  const tools = join(folder.path, `tools-${count}`);
  mkdirSync(tools);
  const snapshot = `"$HF_HOME/hub/models--microsoft--Phi-3-vision-128k-instruct/snapshots/${REVISION}"`;
  const simulator = join(ROOT, 'dist/worker-launcher/simulator/main.js');
  for (const [name, script] of [
    ['hf', `mkdir -p ${snapshot} && cp '${weights}'/* ${snapshot}`],
    ['vllm', `exec '${process.execPath}' '${simulator}' "$@"`],
  ] as const) {
    writeFileSync(join(tools, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(tools, name), 0o755);
  }
  return tools;
}
const settings = (tools: string) => ({
  PATH: `${tools}:/usr/bin:/bin`,
  HF_HOME: join(tools, 'huggingface'),
  WORKER_MODELS_DIR: models,
  WORKER_LOG_LEVEL: 'info',
});

test('weights are compared with the card once after their download; offline too with the setting', async () => {
  listInCard();
  const tools = machine();
  const env = settings(tools);
  for (const [more, says] of [
    [{}, true],
    [{ HF_HUB_OFFLINE: '1' }, false],
    [{ HF_HUB_OFFLINE: '1', WORKER_WEIGHTS_CHECK: 'hashes' }, true],
  ] as const) {
    await using launcher = await startLauncher(redis.url, { ...env, ...more });
    await eventually(
      'an engine',
      async () => (await launcher.status()).engines.every(({ state }) => state === 'ready'),
      20_000,
    );
    expect(launcher.log().includes('the weights are those of the card')).toBe(says);
  }
});

test('an altered download is refused: no engine starts, and the launcher ends with the reason', async () => {
  listInCard();
  change('modeling.py', 'evil');
  await using launcher = await startLauncher(redis.url, settings(machine()));
  expect(await launcher.ended).toBe(1);
  expect(launcher.stderr()).toMatch(
    /^worker-launcher: modeling.py in .* differs: its SHA-256 is [0-9a-f]{64}, and the card/,
  );
  expect(launcher.log()).not.toContain('engine starting');
});
