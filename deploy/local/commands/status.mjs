// @ts-check
import { parseArgs } from 'node:util';
import { startedIn } from '../up/data-folder.mjs';
import { folderNamed } from '../up/options.mjs';
import { ask } from '../up/readiness.mjs';
import { Refusal, reasonOf } from '../setup/refusal.mjs';
import { statusFacts } from './status-facts.mjs';
import { statusText } from './status-text.mjs';

const STATUS_HELP = `penstock status: how gateways, engines, queues and Redis are

  --gateway-url URL   internal port of a gateway, such as http://127.0.0.1:8081; again for each further one
  --launcher-url URL  internal port of a worker-launcher, likewise
  --data-dir DIR      without these: where penstock up keeps its files   (.penstock)
  --json              the same facts as one object, for programs
  --help              print this

Text and image of an engine are requests that it works on, out of those that it may work on at a time.
Exit code 0: all is well; 1: something is not, and the first lines say what; 2: nobody answers, or a wrong option.
`;

/** A gateway whose Redis is silent takes 3.7 s to say so. */
const ANSWER_WITHIN_MS = 6_000;
const NOT_WELL = 1;
const NOBODY = 2;

/**
 * @param {readonly string[]} args what follows `status`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 */
export async function statusCommand(args, { cwd, print, say }) {
  try {
    const asked = read(args);
    if (asked.help === true) return print(STATUS_HELP.trimEnd());
    const { gateways, launchers } = placesOf(asked, cwd);
    const reports = {
      gateways: await Promise.all(gateways.map(report)),
      launchers: await Promise.all(launchers.map(report)),
    };
    const facts = statusFacts(reports);
    if ([...facts.gateways, ...facts.launchers].every(({ state }) => state === 'unreachable'))
      throw new Refusal(`${facts.problems.join('; ')}: are these internal ports?`);
    print(asked.json === true ? JSON.stringify(facts, undefined, 2) : statusText(facts));
    return facts.well ? 0 : NOT_WELL;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`penstock: ${error.message}`);
    return NOBODY;
  }
}

/** @param {ReturnType<typeof read>} asked @param {string} cwd @returns {{ gateways: string[], launchers: string[] }} URLs */
function placesOf(asked, cwd) {
  const gateways = (asked['gateway-url'] ?? []).map((url) => internalUrl('--gateway-url', url));
  const launchers = (asked['launcher-url'] ?? []).map((url) => internalUrl('--launcher-url', url));
  if (gateways.length + launchers.length > 0) return { gateways, launchers };
  const folder = folderNamed('--data-dir', asked['data-dir'] ?? '.penstock', cwd);
  const programs = startedIn(folder);
  if (programs === undefined)
    throw new Refusal(`nothing was started in ${folder}; see --data-dir, --gateway-url and --launcher-url`);
  if (programs.length === 0)
    throw new Refusal(`what was started in ${folder} has no gateway yet: try again in a moment`);
  const urlsOf = (/** @type {boolean} */ isGateway) =>
    programs.filter(({ name }) => name.startsWith('gateway') === isGateway).map(({ url }) => url);
  return { gateways: urlsOf(true), launchers: urlsOf(false) };
}

/** @param {string} url @returns {Promise<import('./status-facts.mjs').Report>} */
async function report(url) {
  const answer = await ask(`${url}/status`, ANSWER_WITHIN_MS);
  return { url, status: answer?.ok === true ? answer.body : undefined };
}

/** @param {string} option @param {string} text */
function internalUrl(option, text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new Refusal(`${option} takes a URL such as http://127.0.0.1:8081, not '${text}'`);
  return `${url.origin}${url.pathname}`.replace(/(\/status)?\/*$/, '');
}

/** @param {readonly string[]} args */
function read(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  const texts = /** @type {const} */ ({ type: 'string', multiple: true });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    const options = {
      'gateway-url': texts,
      'launcher-url': texts,
      'data-dir': text,
      json: flag,
      help: { ...flag, short: 'h' },
    };
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new Refusal(`${String(reasonOf(error).split('\n')[0]).split('. ')[0]}; see penstock status --help`);
  }
}
