// @ts-check
import { setTimeout } from 'node:timers/promises';
import { ask } from '../up/readiness.mjs';
import { FLAG, HELP_FLAG, readOptions, TEXT, TEXTS } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';
import { readerGone } from './reader-gone.mjs';
import { urlsOfPrograms } from './program-urls.mjs';
import { statusFacts } from './status-facts.mjs';
import { statusText } from './status-text.mjs';

const STATUS_HELP = `penstock status: the state of gateways, engines, queues and Redis

  --gateway-url URL   internal port of a gateway, such as http://127.0.0.1:8081; repeat it for each gateway
  --launcher-url URL  internal port of a worker-launcher; repeat it for each worker-launcher
  --data-dir DIR      data folder of penstock up, used if no URL is given   (.penstock)
  --watch             print it again each second, until Ctrl-C
  --json              print the same facts as one JSON object
  --help              print this help

The columns text and image of an engine show its running requests out of the most that it runs at a time.
Exit code 0: healthy; 1: not healthy, and the first lines list the problems; 2: no program answers, or a wrong option.
`;

const OPTIONS = {
  'gateway-url': TEXTS,
  'launcher-url': TEXTS,
  'data-dir': TEXT,
  json: FLAG,
  watch: FLAG,
  help: HELP_FLAG,
};

/** Timeout in milliseconds: a gateway whose Redis is silent needs 3.7 s to report it. */
const ANSWER_WITHIN_MS = 6_000;
const REDRAW_MS = 1_000;
/** Moves a terminal's cursor to its first column and line, and clears what follows. */
const CLEAR = '\u001b[H\u001b[J';
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
    if (asked.watch !== true) {
      const facts = await gather(asked, cwd);
      print(asked.json === true ? JSON.stringify(facts, undefined, 2) : statusText(facts));
      return facts.well ? 0 : NOT_WELL;
    }
    if (asked.json === true) throw new Refusal('penstock status takes --watch or --json, not both');
    const gone = readerGone();
    while (!gone.aborted) {
      const text = await gather(asked, cwd).then(statusText, whyNot);
      print(`${CLEAR}${new Date().toISOString()}\n\n${text}`);
      await setTimeout(REDRAW_MS, undefined, { signal: gone }).catch(() => {});
    }
    return 0;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`penstock: ${error.message}`);
    return NOBODY;
  }
}

/**
 * @param {{ 'gateway-url'?: string[], 'launcher-url'?: string[], 'data-dir'?: string }} asked
 * @param {string} cwd
 */
async function gather(asked, cwd) {
  const { gateways, launchers } = urlsOfPrograms(asked, cwd);
  const facts = statusFacts({
    gateways: await Promise.all(gateways.map(report)),
    launchers: await Promise.all(launchers.map(report)),
  });
  if ([...facts.gateways, ...facts.launchers].every(({ state }) => state === 'unreachable'))
    throw new Refusal(`${facts.problems.join('; ')}: check that these are internal ports`);
  return facts;
}

/** A start may follow, so `--watch` goes on. @param {unknown} error @returns {string} */
function whyNot(error) {
  if (error instanceof Refusal) return `penstock: ${error.message}`;
  throw error;
}

/** @param {string} url @returns {Promise<import('./status-facts.mjs').Report>} */
async function report(url) {
  const answer = await ask(`${url}/status`, ANSWER_WITHIN_MS);
  return { url, status: answer?.ok === true ? answer.body : undefined };
}
