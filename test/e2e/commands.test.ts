import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { penstock } from '../support/penstock-command.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { freePorts } from '#runtime/free-port';

const CARD = 'deploy/models/phi-3-vision-128k-instruct.yaml';
const SPEC = 'test/fixtures/spec/phi-3.5-vision-new.yaml';

test('keys create prints only the key on standard output, and stores its hash in a file that only the owner can read', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'keys.yaml');
  const env = { GATEWAY_KEYS_FILE: file };
  const created = await penstock(['keys', 'create', '--id', 'oslo', '--models', 'azureai, x', '--routes', '/v1'], {
    env,
  });
  expect(created.code).toBe(0);
  expect(created.stdout).toMatch(/^penstock_[\w-]{43}\n$/);
  expect(created.stderr).toContain(`added oslo to ${file}.`);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, 'utf8')).not.toContain(created.stdout.trim());

  const second = await penstock(['keys', 'create', '--file', file, '--id', 'oslo', '--secondary']);
  expect(second.stdout).not.toBe(created.stdout);
  await penstock(['keys', 'create', '--file', file, '--id', 'bergen', '--weight', '2', '--tokens-per-day', '5000']);
  const { stdout } = await penstock(['keys', 'list', '--file', file]);
  expect(stdout.split('\n')).toEqual([
    'oslo    primary+secondary  azureai,x   /v1         weight 1  tiers default,flex',
    'bergen  primary            all models  all routes  weight 2  tiers default,flex  tokens_per_day 5000',
    '',
  ]);

  expect((await penstock(['keys', 'revoke', '--file', file, '--id', 'oslo', '--primary'])).code).toBe(0);
  expect((await penstock(['keys', 'revoke', '--file', file, '--id', 'bergen'])).code).toBe(0);
  expect((await penstock(['keys', 'list', '--file', file])).stdout).toMatch(/^oslo {2}secondary .*\n$/);
  expect(statSync(file).mode & 0o777).toBe(0o600);
}, 60_000);

test('keys set changes and removes what a caller may do, and refuses what no gateway could read', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'keys.yaml');
  const keys = (...args: string[]) => penstock(['keys', ...args, '--file', file]);
  await keys('create', '--id', 'oslo', '--models', 'azureai', '--waiting-jobs', '3');
  writeFileSync(file, `# the team in Oslo\n${readFileSync(file, 'utf8')}`);
  const removed = ['--models', 'none', '--waiting-jobs', 'none'];
  const given = ['--weight', '8', '--tiers', 'priority,default', '--scope', 'operate', '--requests-per-minute', '60'];
  const changed = await keys('set', '--id', 'oslo', ...removed, ...given, '--tokens-per-minute', '9000');
  expect(changed).toMatchObject({ code: 0, stdout: '' });
  expect(changed.stderr).toContain(`changed oslo in ${file}; gateways that read it apply the change within 5 seconds`);
  expect((await keys('list')).stdout).toBe(
    'oslo  primary  all models  all routes  weight 8  tiers priority,default  scopes operate  requests_per_minute 60  tokens_per_minute 9000\n',
  );
  expect(readFileSync(file, 'utf8')).toMatch(/^# the team in Oslo\n/);
  expect(readFileSync(file, 'utf8')).not.toContain('caps');
  for (const [args, sentence] of [
    [['--id', 'oslo', '--tiers', 'fast'], 'keys.0.tiers.0'],
    [['--id', 'oslo', '--scope', 'admin'], 'keys.0.scopes.0'],
    [['--id', 'oslo', '--tokens-per-day', 'many'], 'keys.0.limits.tokens_per_day'],
    [['--id', 'bergen', '--weight', '2'], 'there is no key bergen'],
    [['--id', 'oslo'], 'nothing to set'],
  ] as const) {
    const refused = await keys('set', ...args);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(sentence);
  }
}, 60_000);

test('--key-from-stdin reads an existing key from standard input', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'keys.yaml');
  const args = ['keys', 'create', '--file', file, '--id', 'azure', '--key-from-stdin'];
  expect(await penstock(args, { stdin: 'short\n' })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('at least 20'),
  });
  for (const stdin of [
    '"abcdefghijklmnopqrstuvwxyz012345"\n',
    '{\n  "primaryKey": "abcdefghijklmnopqrstuvwxyz012345"\n}\n',
  ])
    expect(await penstock(args, { stdin })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('--query primaryKey --output tsv'),
    });
  const taken = await penstock(args, { stdin: 'abcdefghijklmnopqrstuvwxyz012345\n' });
  expect([taken.code, taken.stdout]).toEqual([0, '']);
  expect(taken.stderr).toContain('the key is the one from standard input');
  const second = await penstock([...args, '--secondary'], { stdin: 'abcdefghijklmnopqrstuvwxyz543210\r\n' });
  expect([second.code, second.stdout]).toEqual([0, '']);
  expect(second.stderr).toContain(`added the secondary key of azure to ${file};`);
  // printf abcdefghijklmnopqrstuvwxyz012345 | sha256sum
  expect(readFileSync(file, 'utf8')).toContain('653bb1245e828fcda4fa53fcd5a3def5bd7654e651f54b4132b73d74e64435c4');
}, 60_000);

test.each([
  [['keys', 'create', '--id', 'a'], 'no key file: name it with --file or GATEWAY_KEYS_FILE'],
  [['keys', 'create', '--file', 'FOLDER/k'], 'no caller: name it with --id'],
  [['keys', 'create', '--file', 'FOLDER/none/k', '--id', 'a'], 'ENOENT'],
  [['keys', 'create', '--file', 'FOLDER/k', '--id', 'a b'], 'keys.0.id must be 1 to 64 letters'],
  [['keys', 'list', '--file', 'FOLDER/k'], 'the file FOLDER/k does not exist'],
  [['keys', 'revoke', '--file', 'FOLDER/k', '--id', 'a'], 'the file FOLDER/k does not exist'],
  [
    ['keys', 'create', '--file', 'FOLDER/k', '--id', 'a', '--primary', '--secondary'],
    'cannot be combined: run two commands',
  ],
  [['keys', 'steal', '--file', 'FOLDER/k'], "unknown command 'keys steal'; see penstock keys --help"],
  [['keys', 'list', '--fil', 'FOLDER/k'], "Unknown option '--fil'; see penstock keys --help"],
  [['card', 'import', 'FOLDER/none.yaml'], 'FOLDER/none.yaml cannot be read'],
  [['card', 'import', 'test/fixtures/spec/embedder-new.yaml'], 'its task is embeddings'],
  [['card', 'import', SPEC, '--out', CARD], 'already exists'],
  [['card', 'check'], 'no file to check: name one'],
  [['card', 'paint', CARD], "unknown command 'card paint'; see penstock card --help"],
])('%j is refused in one sentence', async (args, sentence) => {
  using folder = temporaryFolder();
  const inside = args.map((arg) => arg.replace('FOLDER', folder.path));
  const { code, stdout, stderr } = await penstock(inside);
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr.replaceAll(folder.path, 'FOLDER')).toContain(sentence);
  expect(stderr.trim().split('\n').at(-1)).toMatch(/^penstock: /);
});

test('an interrupted change is reported, and the file is unchanged', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'keys.yaml');
  writeFileSync(join(folder.path, '.keys.yaml.new'), '');
  const { code, stderr } = await penstock(['keys', 'create', '--file', file, '--id', 'a']);
  expect(code).toBe(1);
  expect(stderr).toContain(
    `${join(folder.path, '.keys.yaml.new')} exists: another penstock keys is running or was interrupted`,
  );
});

test('card import lists what it took, guessed and left out; card check passes its card', async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, 'card.yaml');
  const { code, stdout } = await penstock(['card', 'import', SPEC, '--out', out]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^took +limits\.context_tokens +system_metadata\.textContextWindow$/m);
  expect(stdout).toMatch(/^guessed +limits\.images_per_conversation +/m);
  expect(stdout).toMatch(/^left +tags\.textContextWindow \(8192\)$/m);
  expect(stdout).toContain(`the card of Phi-3.5-vision-instruct is in ${out}`);
  expect(await penstock(['card', 'check', CARD, out])).toMatchObject({
    code: 0,
    stdout: `${CARD}: ok\n${out}: ok\n`,
  });

  const piped = await penstock(['card', 'import', SPEC]);
  expect(piped.stdout).toBe(readFileSync(out, 'utf8'));
  expect(piped.stderr).toContain('guessed');
}, 60_000);

test('card show prints what a card says of its model', async () => {
  const shown = await penstock([
    'card',
    'show',
    'deploy/models/phi-3-vision-128k-instruct.yaml',
    'deploy/models/more/phi-4.yaml',
  ]);
  expect([shown.code, shown.stderr]).toEqual([0, '']);
  for (const row of [
    /^version +2$/m,
    /^licence +MIT$/m,
    /^languages +en$/m,
    /^retired by Azure +2025-08-30$/m,
    /^tested GPUs +A100, A6000, H100$/m,
    /^compute capability +8\.0$/m,
    /^weights +microsoft\/Phi-3-vision-128k-instruct at [0-9a-f]{40}$/m,
    /\n\nmodel +Phi-4\nversion +8$/m,
  ])
    expect(shown.stdout).toMatch(row);
  const refused = await penstock(['card', 'show', 'package.json']);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/package.json: .* (unknown field|is missing)/),
  ]);
});

test('card check prints each problem of one card and of several as a sentence, and exits with 1', async () => {
  using folder = temporaryFolder();
  const wrong = join(folder.path, 'wrong.yaml');
  writeFileSync(
    wrong,
    readFileSync(CARD, 'utf8')
      .replace('batch: false', 'batch: never')
      .replace(/^task:.*$/m, ''),
  );
  expect(await penstock(['card', 'check', wrong])).toMatchObject({
    code: 1,
    stdout: `${wrong}: task is missing.\n${wrong}: limits.batch must be true or false, and is "never".\n`,
  });
  const twice = await penstock(['card', 'check', CARD, CARD]);
  expect(twice.code).toBe(1);
  expect(twice.stdout).toContain('together: two model cards have the name Phi-3-vision-128k-instruct.');
});

test('the help of each command names its options', async () => {
  const keys = await penstock(['keys', '--help']);
  for (const option of 'file id models routes weight key-from-stdin primary secondary'.split(' '))
    expect(keys.stdout).toContain(`--${option}`);
  expect((await penstock(['card', '--help'])).stdout).toContain('--out FILE');
  const all = (await penstock(['--help'])).stdout;
  for (const command of ['keys', 'card']) expect(all).toContain(`penstock ${command} --help`);
});

test.each([
  ['/proc/x', 'the folder /proc/x cannot be created (ENOENT): choose another one with --data-dir'],
  ['/proc/x/y/z', 'the folder /proc/x cannot be created (ENOENT): choose another one with --data-dir'],
  ['/dev/null/x', 'the folder /dev/null/x cannot be created (ENOTDIR): choose another one with --data-dir'],
  ['/dev/null', 'the folder /dev/null cannot be created (EEXIST): choose another one with --data-dir'],
])('F3: the data folder %s is refused in one sentence', async (folder, sentence) => {
  const { code, stderr } = await penstock(['up', '--data-dir', folder, '--port', String(await freePorts(3))]);
  expect([code, stderr]).toEqual([1, `penstock: ${sentence}\n`]);
});

test('F5: preflight of a machine without a GPU names the simulator, which needs no GPU', async () => {
  const facts = 'test/fixtures/machines/cpu-box.json';
  const { code, stdout } = await penstock(['preflight', '--facts', facts]);
  expect([code, stdout]).toEqual([1, expect.stringContaining('The simulator runs without them: ')]);
});
