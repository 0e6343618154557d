// @ts-check
import { startedIn } from '../up/data-folder.mjs';
import { folderNamed } from '../up/options.mjs';
import { ask } from '../up/readiness.mjs';
import { FLAG, HELP_FLAG, readOptions, TEXT, TEXTS } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';
import { statusFacts } from './status-facts.mjs';
import { statusText } from './status-text.mjs';

const STATUS_HELP = `penstock status: the state of gateways, engines, queues and Redis

  --gateway-url URL   internal port of a gateway, such as http://127.0.0.1:8081; repeat it for each gateway
  --launcher-url URL  internal port of a worker-launcher; repeat it for each worker-launcher
  --data-dir DIR      data folder of penstock up, used if no URL is given   (.penstock)
  --json              print the same facts as one JSON object
  --help              print this help

The columns text and image of an engine show its running requests out of the most that it runs at a time.
Exit code 0: healthy; 1: not healthy, and the first lines list the problems; 2: no program answers, or a wrong option.
`;

const OPTIONS = { 'gateway-url': TEXTS, 'launcher-url': TEXTS, 'data-dir': TEXT, json: FLAG, help: HELP_FLAG };

/** Timeout in milliseconds: a gateway whose Redis is silent needs 3.7 s to report it. */
const ANSWER_WITHIN_MS = 6_000;
const NOT_WELL = 1;
const NOBODY = 2;

/**
 * @param {readonly string[]} args arguments after `status`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 */
export async function statusCommand(args, { cwd, print, say }) {
  try {
    const { values: asked } = readOptions('penstock status', args, OPTIONS, 0);
    if (asked.help === true) return print(STATUS_HELP.trimEnd());
    const { gateways, launchers } = urlsOfPrograms(asked, cwd);
    const reports = {
      gateways: await Promise.all(gateways.map(report)),
      launchers: await Promise.all(launchers.map(report)),
    };
    const facts = statusFacts(reports);
    if ([...facts.gateways, ...facts.launchers].every(({ state }) => state === 'unreachable'))
      throw new Refusal(`${facts.problems.join('; ')}: check that these are internal ports`);
    print(asked.json === true ? JSON.stringify(facts, undefined, 2) : statusText(facts));
    return facts.well ? 0 : NOT_WELL;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`penstock: ${error.message}`);
    return NOBODY;
  }
}

/**
 * @param {{ 'gateway-url'?: string[], 'launcher-url'?: string[], 'data-dir'?: string }} asked
 * @param {string} cwd
 * @returns {{ gateways: string[], launchers: string[] }} URLs
 */
function urlsOfPrograms(asked, cwd) {
  const gateways = (asked['gateway-url'] ?? []).map((url) => internalUrl('--gateway-url', url));
  const launchers = (asked['launcher-url'] ?? []).map((url) => internalUrl('--launcher-url', url));
  if (gateways.length + launchers.length > 0) return { gateways, launchers };
  const folder = folderNamed('--data-dir', asked['data-dir'] ?? '.penstock', cwd);
  const programs = startedIn(folder);
  if (programs === undefined)
    throw new Refusal(`no penstock up uses the data folder ${folder}: set --data-dir, --gateway-url or --launcher-url`);
  if (programs.length === 0) throw new Refusal(`the start in ${folder} has no gateway yet: try again in a few seconds`);
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
