// @ts-check
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compiled } from './compiled.mjs';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

const KEYS_HELP = `penstock keys: who may call a gateway

  penstock keys create --id ID [options]   a new name and its key, printed this once
  penstock keys create --id ID --secondary a second key for a name that is there, so that the first can be replaced
  penstock keys list                       names, scopes and which keys each has
  penstock keys revoke --id ID             removes a name; with --primary or --secondary one of its keys

  --file FILE       the file of hashed keys                          (GATEWAY_KEYS_FILE)
  --id ID           name of the caller; it appears in log lines
  --models A,B      models that it may use                           (all)
  --routes /P,/Q    paths that it may call, each with all under it: /v1, /openai, /models, /score;
                    of Azure AI inference /chat/completions,/completions,/info  (all)
  --weight N        its share of the engines against other names     (1)
  --key-from-stdin  take the key from standard input instead of making one, such as that of an Azure endpoint
  --help            print this

Gateways with GATEWAY_KEYS_FILE set to the file follow its changes without a restart.
`;

/** Shorter ones can be guessed from their hash; Azure's have 32 characters. */
const LEAST_KEY_LENGTH = 20;

/**
 * @typedef {typeof import('../../../gateway/keys/key-edit.ts')} KeyEdit
 * @typedef {typeof import('../../../gateway/keys/key-file.ts')} KeyFile
 * @typedef {ReturnType<typeof read>} Asked
 */

/**
 * @param {readonly string[]} args what follows `keys`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 * @throws Refusal in one sentence
 */
export async function keysCommand(args, setup) {
  const asked = read(args);
  if (asked.help === true || asked.command === undefined) return setup.print(KEYS_HELP.trimEnd());
  const named = asked.file ?? setup.env['GATEWAY_KEYS_FILE'];
  if (!named) throw new Refusal('say which file of keys with --file, or in GATEWAY_KEYS_FILE');
  const path = resolve(setup.cwd, named);
  const file = existsSync(path) ? realpathSync(path) : path;
  switch (asked.command) {
    case 'create':
      return create(asked, file, setup);
    case 'list':
      return list(file, setup);
    case 'revoke':
      return revoke(asked, file, setup);
    default:
      throw new Refusal(`there is no command 'keys ${asked.command}'; see penstock keys --help`);
  }
}

/** @param {Asked} asked @param {string} file @param {import('./compiled.mjs').CommandSetup} setup */
async function create(asked, file, setup) {
  const id = idOf(asked);
  const { newKey, withKey } = /** @type {KeyEdit} */ (await compiled('gateway/keys/key-edit.js', setup));
  const key = asked['key-from-stdin'] === true ? keyFromStdin() : newKey();
  const weight = asked.weight === undefined ? undefined : Number(asked.weight);
  const scopes = { models: listed(asked.models), routes: listed(asked.routes), weight };
  change(file, (text) => withKey(text, id, placeOf(asked), key, scopes));
  setup.say(`${id} is in ${file}; this is its key, which is kept nowhere else:`);
  return asked['key-from-stdin'] === true ? 0 : setup.print(key);
}

/** @param {string} file @param {import('./compiled.mjs').CommandSetup} setup */
async function list(file, setup) {
  const { parseKeyFile } = /** @type {KeyFile} */ (await compiled('gateway/keys/key-file.js', setup));
  const keys = sentence(file, () => parseKeyFile(existing(file)));
  const rows = keys.map(({ id, primary, secondary, models, routes, weight }) => [
    id,
    [primary === undefined ? [] : 'primary', secondary === undefined ? [] : 'secondary'].flat().join('+'),
    models?.join(',') ?? 'all models',
    routes?.join(',') ?? 'all routes',
    `weight ${weight}`,
  ]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(0, ...rows.map((row) => String(row[column]).length)));
  for (const row of rows) setup.print(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  if (rows.length === 0) setup.say(`${file} holds no keys`);
  return 0;
}

/** @param {Asked} asked @param {string} file @param {import('./compiled.mjs').CommandSetup} setup */
async function revoke(asked, file, setup) {
  const id = idOf(asked);
  const { withoutKey } = /** @type {KeyEdit} */ (await compiled('gateway/keys/key-edit.js', setup));
  existing(file);
  change(file, (text) => withoutKey(text, id, placeOf(asked)));
  setup.say(`${placeOf(asked) ?? 'every'} key of ${id} is removed from ${file}; requests that run go on to their end`);
  return 0;
}

/**
 * Replaces the file as a whole, readable by its owner only. The new file, made before the old one is read, is the lock
 * that keeps two changes apart.
 * @param {string} file @param {(text: string) => string} edit
 */
function change(file, edit) {
  const next = join(dirname(file), `.${basename(file)}.new`);
  let descriptor;
  try {
    descriptor = openSync(next, 'wx', 0o600);
  } catch (error) {
    const taken = /** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST';
    throw new Refusal(
      taken
        ? `another penstock keys is at work, or was cut off: remove ${next} if none is`
        : `${file}: ${reasonOf(error)}`,
    );
  }
  try {
    writeSync(
      descriptor,
      sentence(file, () => edit(existsSync(file) ? readFileSync(file, 'utf8') : '')),
    );
    fsyncSync(descriptor);
    renameSync(next, file);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** @template T @param {string} file @param {() => T} work @returns {T} */
function sentence(file, work) {
  try {
    return work();
  } catch (error) {
    throw new Refusal(`${file}: ${reasonOf(error)}`);
  }
}

/** @param {string} file */
function existing(file) {
  if (!existsSync(file)) throw new Refusal(`there is no file ${file}`);
  return readFileSync(file, 'utf8');
}

function keyFromStdin() {
  const key = readFileSync(0, 'utf8').trim();
  if (key.length < LEAST_KEY_LENGTH || /\s/.test(key)) {
    throw new Refusal(`a key has at least ${LEAST_KEY_LENGTH} characters, and no blanks`);
  }
  return key;
}

/** @param {readonly string[]} args */
function read(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        file: text,
        id: text,
        models: text,
        routes: text,
        weight: text,
        primary: flag,
        secondary: flag,
        'key-from-stdin': flag,
        help: { ...flag, short: 'h' },
      },
    });
    if (positionals.length > 1) throw new Refusal(`'${positionals[1]}' is one argument too many`);
    return { ...values, command: positionals[0] };
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(`${String(reasonOf(error).split('\n')[0]).split('. ')[0]}; see penstock keys --help`);
  }
}

/** @param {Asked} asked */
function idOf({ id }) {
  if (!id) throw new Refusal('say whose key it is with --id');
  return id;
}

/** @param {Asked} asked @returns {'primary' | 'secondary' | undefined} */
function placeOf({ primary, secondary }) {
  if (primary === true && secondary === true) throw new Refusal('--primary and --secondary are two commands');
  return primary === true ? 'primary' : secondary === true ? 'secondary' : undefined;
}

/** @param {string | undefined} text */
function listed(text) {
  const items = text?.split(',').map((item) => item.trim());
  return items?.filter((item) => item !== '');
}
