// @ts-check
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { HELP_FLAG, readOptions, TEXT } from '../setup/read-options.mjs';
import { Refusal, reasonOf } from '../setup/refusal.mjs';
import { compiled } from './compiled.mjs';

const WEIGHTS_HELP = `penstock weights: what the weights of a model must be

  penstock weights lock CARD                  ask the hub for the files of the card's commit, and write path, size and
                                              SHA-256 of each into the card (engine.files)
  penstock weights lock CARD --folder DIR     the same from a folder that was downloaded

  --hub-url URL  the hub, or a mirror of it   (HF_ENDPOINT, else https://huggingface.co)
  --help         print this help

The hub takes the token in HF_TOKEN. Worker-launcher and penstock preflight then compare the weights with the card.
Exit code 0: written; 1: refused, with a sentence.
`;

const OPTIONS = { folder: TEXT, 'hub-url': TEXT, help: HELP_FLAG };

/**
 * @param {readonly string[]} args arguments after `weights`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 * @throws Refusal in one sentence
 */
export async function weightsCommand(args, setup) {
  const { values: asked, words } = readOptions('penstock weights', args, OPTIONS, 2);
  const [what, name] = words;
  if (asked.help === true || what === undefined) return setup.print(WEIGHTS_HELP.trimEnd());
  if (what !== 'lock' || name === undefined)
    throw new Refusal(`'${words.join(' ')}' is not lock CARD; see penstock weights --help`);
  const path = resolve(setup.cwd, name);
  try {
    const text = readFileSync(path, 'utf8');
    const files = await filesOf(text, asked, setup);
    writeFileSync(path, await withFiles(text, files));
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    return setup.print(`wrote ${files.length} files, ${bytes} bytes, into ${path}`);
  } catch (error) {
    throw new Refusal(`${name}: ${reasonOf(error)}`);
  }
}

/**
 * @param {string} text of the card
 * @param {{ folder?: string, 'hub-url'?: string }} asked
 * @param {import('./compiled.mjs').CommandSetup} setup
 */
async function filesOf(text, asked, setup) {
  const { problemsOfText, valueOf } = /** @type {typeof import('../../../gateway/cards/check-card.ts')} */ (
    await compiled('gateway/cards/check-card.js', setup)
  );
  const [problem] = problemsOfText(text);
  if (problem !== undefined) throw new Refusal(problem);
  const say = (/** @type {string} */ path) => void setup.say(path);
  if (asked.folder !== undefined) {
    const { lockFolder } = /** @type {typeof import('../../../worker-launcher/preflight/weight-files.ts')} */ (
      await compiled('worker-launcher/preflight/weight-files.js', setup)
    );
    const found = await lockFolder(resolve(setup.cwd, asked.folder), say);
    if (!found.some(({ path }) => path === 'config.json')) throw new Refusal(`${asked.folder} has no config.json`);
    return found;
  }
  const { engine } = /** @type {import('../../../gateway/contract/model-card.ts').ModelCard} */ (valueOf(text));
  if (engine.revision === undefined)
    throw new Refusal('the card names no commit (engine.revision); name a folder with --folder');
  const { lockHub } = /** @type {typeof import('../../../worker-launcher/preflight/hub-files.ts')} */ (
    await compiled('worker-launcher/preflight/hub-files.js', setup)
  );
  const hub = (asked['hub-url'] ?? (setup.env['HF_ENDPOINT'] || undefined))?.replace(/\/+$/, '');
  const token = setup.env['HF_TOKEN'] || undefined;
  return lockHub({ hub, name: engine.weights, revision: engine.revision, token }, say);
}

/**
 * Writes the list into the part `engine` of a card. The rest stays as it is, with its comments and line breaks.
 * @param {string} text @param {readonly object[]} files
 */
async function withFiles(text, files) {
  // Not at the top: `npm start` loads this file before it has installed any package.
  const { isMap, isScalar, parseDocument } = await import('yaml');
  const { contents } = parseDocument(text);
  const parts = isMap(contents) ? contents.items : [];
  const engine = parts.find(({ key }) => isScalar(key) && key.value === 'engine');
  if (!isScalar(engine?.key) || !isMap(engine.value)) throw new Error('has no part engine');
  const [from, to] = [engine.key.range?.[0] ?? 0, engine.value.range?.[2] ?? text.length];
  const part = parseDocument(text.slice(from, to));
  part.setIn(['engine', 'files'], part.createNode(files, { flow: false }));
  return text.slice(0, from) + part.toString({ lineWidth: 0, flowCollectionPadding: false }) + text.slice(to);
}
