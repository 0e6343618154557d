// @ts-check
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { inColumns } from './columns.mjs';
import { compiled } from './compiled.mjs';
import { HELP_FLAG, readOptions, TEXT } from '../setup/read-options.mjs';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

const CARD_HELP = `penstock card: model cards

  penstock card check FILE...                  check each card, and all together; exit code 1 if there is a problem
  penstock card show FILE...                   print what each card says of its model: version, licence, languages, dates,
                                               weights and hardware
  penstock card import spec.yaml [--out FILE]  create a card from a spec file of Azure's model catalog, old or new form,
                                               and list what it took, guessed and left out

  --out FILE   file for the card; it must not exist yet  (standard output)
  --help       print this help
`;

/**
 * @typedef {typeof import('../../../gateway/cards/check-card.ts')} CheckCard
 * @typedef {typeof import('../../../gateway/cards/import-card.ts')} ImportCard
 * @typedef {import('./compiled.mjs').CommandSetup} CommandSetup
 */

/**
 * @param {readonly string[]} args arguments after `card`
 * @param {CommandSetup} setup
 * @returns {Promise<number>} exit code
 * @throws Refusal in one sentence
 */
export async function cardCommand(args, setup) {
  const { values, words } = readOptions('penstock card', args, { out: TEXT, help: HELP_FLAG });
  const [command, ...files] = words;
  if (values.help === true || command === undefined) return setup.print(CARD_HELP.trimEnd());
  if (command !== 'check' && command !== 'show' && command !== 'import') {
    throw new Refusal(`unknown command 'card ${command}'; see penstock card --help`);
  }
  if (files.length === 0) throw new Refusal(`no file to ${command}: name one; see penstock card --help`);
  if (command === 'check') return check(files, setup);
  if (command === 'show') return show(files, setup);
  if (files.length > 1) throw new Refusal(`unexpected argument '${files[1]}'; see penstock card --help`);
  return importOne(String(files[0]), values.out, setup);
}

/** @param {readonly string[]} files @param {CommandSetup} setup */
async function check(files, setup) {
  const { problemsBetween, problemsOfText, valueOf } = /** @type {CheckCard} */ (
    await compiled('gateway/cards/check-card.js', setup)
  );
  const cards = [];
  let wrong = 0;
  for (const file of files) {
    const text = textOf(file, setup.cwd);
    const problems = problemsOfText(text);
    for (const problem of problems) setup.print(`${file}: ${problem}`);
    if (problems.length === 0) {
      setup.print(`${file}: ok`);
      cards.push({ file, value: valueOf(text) });
    }
    wrong += problems.length;
  }
  for (const problem of problemsBetween(cards)) {
    setup.print(`together: ${problem}`);
    wrong += 1;
  }
  return wrong === 0 ? 0 : 1;
}

/** @param {readonly string[]} files @param {CommandSetup} setup */
async function show(files, setup) {
  const { problemsOfText, valueOf } = /** @type {CheckCard} */ (await compiled('gateway/cards/check-card.js', setup));
  for (const [at, file] of files.entries()) {
    const text = textOf(file, setup.cwd);
    const [problem] = problemsOfText(text);
    if (problem !== undefined) throw new Refusal(`${file}: ${problem}`);
    const card = /** @type {import('../../../gateway/contract/model-card.ts').ModelCard} */ (valueOf(text));
    setup.print(`${at === 0 ? '' : '\n'}${inColumns(factsOf(card), 2)}`);
  }
  return 0;
}

/** @param {import('../../../gateway/contract/model-card.ts').ModelCard} card @returns {string[][]} */
function factsOf({ name, version, publisher, license, languages, released, retired, engine, hardware }) {
  const { weights, revision, files } = engine;
  return [
    ['model', name],
    ['version', version],
    ['publisher', publisher ?? 'not said'],
    ['licence', license ?? 'not said'],
    ['languages', languages?.join(', ') ?? 'not said'],
    ['released', released ?? 'not said'],
    ['retired by Azure', retired ?? 'not said'],
    ['weights', `${weights}${revision === undefined ? '' : ` at ${revision}`}`],
    ['checked files', files === undefined ? 'none: see penstock weights --help' : String(files.length)],
    ['tested GPUs', hardware.tested_gpus?.join(', ') ?? 'not said'],
    ['compute capability', hardware.min_compute_capability?.toFixed(1) ?? 'not said'],
    ['Azure sizes', hardware.allowed_skus.join(', ')],
  ];
}

/** @param {string} file @param {string | undefined} out @param {CommandSetup} setup */
async function importOne(file, out, setup) {
  const { importCard } = /** @type {ImportCard} */ (await compiled('gateway/cards/import-card.js', setup));
  const text = textOf(file, setup.cwd);
  let imported;
  try {
    imported = importCard(text);
  } catch (error) {
    throw new Refusal(`${file}: ${reasonOf(error)}`);
  }
  const path = out === undefined ? undefined : resolve(setup.cwd, out);
  if (path !== undefined) writeNew(path, imported.yaml);
  const tell = path === undefined ? setup.say : setup.print;
  for (const { field, how, why } of imported.notes) tell(`${how.padEnd(7)}  ${field.padEnd(32)}  ${why}`);
  for (const left of imported.left) tell(`left     ${left}`);
  return setup.print(path === undefined ? imported.yaml.trimEnd() : `the card of ${imported.name} is in ${path}`);
}

/** @param {string} path @param {string} text */
function writeNew(path, text) {
  try {
    writeFileSync(path, text, { flag: 'wx' });
  } catch (error) {
    const taken = /** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST';
    throw new Refusal(
      taken
        ? `${path} already exists: remove it, or choose another name`
        : `${path} cannot be written: ${reasonOf(error)}`,
    );
  }
}

/** @param {string} file @param {string} cwd */
function textOf(file, cwd) {
  try {
    return readFileSync(resolve(cwd, file), 'utf8');
  } catch (error) {
    throw new Refusal(`${file} cannot be read: ${reasonOf(error)}`);
  }
}
