// @ts-check
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { compiled } from './compiled.mjs';
import { FLAG, HELP_FLAG, readOptions, TEXT } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';
import { auditOf, change, sentence } from './key-file-change.mjs';

const KEYS_HELP = `penstock keys: API keys of the callers

  penstock keys create --id ID [options]   add a caller and print its key; the key cannot be printed again
  penstock keys create --id ID --secondary add a second key to a caller, so that the first can be replaced;
                                           --primary replaces a revoked primary key
  penstock keys set --id ID [options]      change what a caller may do; the value none removes a field
  penstock keys list                       list callers, their scopes and which keys they have
  penstock keys revoke --id ID             remove a caller; with --primary or --secondary only that key
  penstock keys webhook ID URL             report the end of its background responses to this https URL, and print the
                                           secret that signs the events; again: a new secret. --off removes it

  --file FILE       file of hashed keys                              (GATEWAY_KEYS_FILE)
  --audit-file FILE append a line for each change; -: standard error (GATEWAY_AUDIT_FILE)
  --id ID           name of the caller; log lines contain it
  --models A,B      models that it may use                           (all)
  --routes /P,/Q    path prefixes that it may call: /v1, /openai, /models, /score;
                    for Azure AI inference /chat/completions,/completions,/info  (all)
  --weight N        its share of the engines, 0.001 to 1000, relative to other callers  (1)
  --tiers A,B       classes that it may ask for: priority, default, flex  (default,flex)
  --scope operate   it may see in the console what concerns all callers: engines, queues, usage  (none)
  --requests-per-minute N, --tokens-per-minute N, --tokens-per-day N
                    what it may use, in all gateways together        (no limit)
  --waiting-jobs N, --waiting-bytes N
                    how much of it may wait for a model              (no limit)
  --off             with webhook: remove it
  --key-from-stdin  read the key from standard input, for example the key of an Azure endpoint
  --help            print this help

A gateway whose GATEWAY_KEYS_FILE names the file applies changes without a restart.
`;

const LISTS = /** @type {const} */ (['models', 'routes', 'tiers', 'scope']);
const NUMBERS = /** @type {const} */ ([
  'weight',
  'requests-per-minute',
  'tokens-per-minute',
  'tokens-per-day',
  'waiting-jobs',
  'waiting-bytes',
]);

const OPTIONS = {
  file: TEXT,
  'audit-file': TEXT,
  id: TEXT,
  models: TEXT,
  routes: TEXT,
  tiers: TEXT,
  scope: TEXT,
  weight: TEXT,
  'requests-per-minute': TEXT,
  'tokens-per-minute': TEXT,
  'tokens-per-day': TEXT,
  'waiting-jobs': TEXT,
  'waiting-bytes': TEXT,
  primary: FLAG,
  secondary: FLAG,
  'key-from-stdin': FLAG,
  off: FLAG,
  help: HELP_FLAG,
};

/** A shorter key could be guessed from its hash; Azure's keys have 32 characters. */
const LEAST_KEY_LENGTH = 20;

/**
 * @typedef {typeof import('../../../gateway/keys/key-edit.ts')} KeyEdit
 * @typedef {typeof import('../../../gateway/keys/key-file.ts')} KeyFile
 * @typedef {ReturnType<typeof read>} Asked
 */

/**
 * @param {readonly string[]} args arguments after `keys`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 * @throws Refusal in one sentence
 */
export async function keysCommand(args, setup) {
  const asked = read(args);
  if (asked.help === true || asked.command === undefined) return setup.print(KEYS_HELP.trimEnd());
  const named = asked.file ?? setup.env['GATEWAY_KEYS_FILE'];
  if (!named) throw new Refusal('no key file: name it with --file or GATEWAY_KEYS_FILE');
  const path = resolve(setup.cwd, named);
  const file = existsSync(path) ? realpathSync(path) : path;
  switch (asked.command) {
    case 'create':
      return create(asked, file, setup);
    case 'set':
      return set(asked, file, setup);
    case 'list':
      return list(file, setup);
    case 'revoke':
      return revoke(asked, file, setup);
    case 'webhook':
      return webhook(asked, file, setup);
    default:
      throw new Refusal(`unknown command 'keys ${asked.command}'; see penstock keys --help`);
  }
}

/** @param {Asked} asked @param {string} file @param {import('./compiled.mjs').CommandSetup} setup */
async function create(asked, file, setup) {
  const id = idOf(asked);
  const { newKey, withKey } = /** @type {KeyEdit} */ (await compiled('gateway/keys/key-edit.js', setup));
  const key = asked['key-from-stdin'] === true ? keyFromStdin() : newKey();
  const scopes = scopesOf(asked);
  const slot = slotOf(asked);
  const audit = await auditOf(asked['audit-file'], setup);
  change(file, { act: 'key.created', what: id }, audit, (text) => withKey(text, id, slot, key, scopes));
  const added = `added ${slot === undefined ? id : `the ${slot} key of ${id}`} to ${file}`;
  if (asked['key-from-stdin'] === true) {
    setup.say(`${added}; the key is the one from standard input, and the file has only its hash`);
    return 0;
  }
  setup.say(`${added}. This is the key; keep it, because the file has only its hash:`);
  return setup.print(key);
}

/** @param {Asked} asked @param {string} file @param {import('./compiled.mjs').CommandSetup} setup */
async function set(asked, file, setup) {
  const id = idOf(asked);
  const { withScopes } = /** @type {KeyEdit} */ (await compiled('gateway/keys/key-edit.js', setup));
  existing(file);
  const scopes = scopesOf(asked);
  if (Object.keys(scopes).length === 0) throw new Refusal('nothing to set; see penstock keys --help');
  const audit = await auditOf(asked['audit-file'], setup);
  change(file, { act: 'key.changed', what: id }, audit, (text) => withScopes(text, id, scopes));
  setup.say(`changed ${id} in ${file}; gateways that read it apply the change within 5 seconds`);
  return 0;
}

/** @param {string} file @param {import('./compiled.mjs').CommandSetup} setup */
async function list(file, setup) {
  const { parseKeyFile } = /** @type {KeyFile} */ (await compiled('gateway/keys/key-file.js', setup));
  const keys = sentence(file, () => parseKeyFile(existing(file)));
  const rows = keys.map(
    ({ id, primary, secondary, models, routes, weight, tiers, scopes, limits, caps, webhook: hook }) => [
      id,
      [primary === undefined ? [] : 'primary', secondary === undefined ? [] : 'secondary'].flat().join('+'),
      models?.join(',') ?? 'all models',
      routes?.join(',') ?? 'all routes',
      `weight ${weight}`,
      `tiers ${tiers.join(',')}`,
      ...(scopes.length === 0 ? [] : [`scopes ${scopes.join(',')}`]),
      ...Object.entries({ ...limits, ...caps }).map(([name, value]) => `${name} ${value}`),
      ...(hook === undefined ? [] : [`webhook ${hook.url}`]),
    ],
  );
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(0, ...rows.map((row) => String(row[column]).length)));
  for (const row of rows) setup.print(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  if (rows.length === 0) setup.say(`${file} has no keys`);
  return 0;
}

/** @param {Asked} asked @param {string} file @param {import('./compiled.mjs').CommandSetup} setup */
async function revoke(asked, file, setup) {
  const id = idOf(asked);
  const { withoutKey } = /** @type {KeyEdit} */ (await compiled('gateway/keys/key-edit.js', setup));
  existing(file);
  const audit = await auditOf(asked['audit-file'], setup);
  change(file, { act: 'key.revoked', what: id }, audit, (text) => withoutKey(text, id, slotOf(asked)));
  setup.say(
    `removed the ${slotOf(asked) ?? 'caller'}${slotOf(asked) === undefined ? '' : ' key of'} ${id} from ${file}; its running requests finish`,
  );
  return 0;
}

/** @param {Asked} asked @param {string} file @param {import('./compiled.mjs').CommandSetup} setup */
async function webhook(asked, file, setup) {
  const [id, url] = asked.rest;
  if (id === undefined || (url === undefined) !== (asked.off === true))
    throw new Refusal('penstock keys webhook takes an ID and a URL, or an ID and --off');
  const { newWebhookSecret, withWebhook } = /** @type {KeyEdit} */ (await compiled('gateway/keys/key-edit.js', setup));
  existing(file);
  const audit = await auditOf(asked['audit-file'], setup);
  const act = /** @type {const} */ ({ act: 'key.changed', what: id });
  if (url === undefined) {
    change(file, act, audit, (text) => withWebhook(text, id, undefined));
    setup.say(`removed the webhook of ${id} from ${file}; its events that wait are dropped`);
    return 0;
  }
  if (url.startsWith('http:')) setup.say('http is used only for hosts that GATEWAY_WEBHOOK_ALLOW names');
  const secret = newWebhookSecret();
  change(file, act, audit, (text) => withWebhook(text, id, { url, secret }));
  setup.say(`set the webhook of ${id} in ${file}. This is the secret that signs its events; give it to the receiver:`);
  return setup.print(secret);
}

/** @param {string} file */
function existing(file) {
  if (!existsSync(file)) throw new Refusal(`the file ${file} does not exist`);
  return readFileSync(file, 'utf8');
}

function keyFromStdin() {
  const key = readFileSync(0, 'utf8').trim();
  // By default, `az … get-credentials` prints JSON, and with `--query` one value in quotation marks.
  if (/^["'{]/.test(key)) {
    throw new Refusal(
      `standard input starts with ${key.slice(0, 1)}, which is no part of a key: pass the key alone, without quotation marks; ` +
        'the Azure CLI prints it so with --query primaryKey --output tsv',
    );
  }
  if (key.length < LEAST_KEY_LENGTH || /\s/.test(key)) {
    throw new Refusal(
      `the key is too short or contains blanks: it needs at least ${LEAST_KEY_LENGTH} characters, without blanks`,
    );
  }
  return key;
}

/** @param {readonly string[]} args */
function read(args) {
  const { values, words } = readOptions('penstock keys', args, OPTIONS, 3);
  const [command, ...rest] = words;
  if (command !== 'webhook' && rest.length > 0)
    throw new Refusal(`unexpected argument '${rest[0]}'; see penstock keys --help`);
  return { ...values, command, rest };
}

/** @param {Asked} asked */
function idOf({ id }) {
  if (!id) throw new Refusal('no caller: name it with --id');
  return id;
}

/** @param {Asked} asked @returns {'primary' | 'secondary' | undefined} */
function slotOf({ primary, secondary }) {
  if (primary === true && secondary === true)
    throw new Refusal('--primary and --secondary cannot be combined: run two commands');
  return primary === true ? 'primary' : secondary === true ? 'secondary' : undefined;
}

/**
 * The fields that options name, as `withKey` takes them.
 * @param {Asked} asked @returns {import('../../../gateway/keys/key-edit.ts').Scopes}
 */
function scopesOf(asked) {
  const given = [...LISTS, ...NUMBERS].flatMap((name) => {
    const text = asked[name];
    if (text === undefined) return [];
    return [[name === 'scope' ? 'scopes' : name.replaceAll('-', '_'), text === 'none' ? text : valueOf(name, text)]];
  });
  return Object.fromEntries(given);
}

/** @param {string} name of an option @param {string} text */
function valueOf(name, text) {
  if (!LISTS.some((list) => list === name)) return Number(text);
  const items = text.split(',').map((item) => item.trim());
  return items.filter((item) => item !== '');
}
