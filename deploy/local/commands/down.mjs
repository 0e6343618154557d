// @ts-check
import { setTimeout } from 'node:timers/promises';
import { HELP_FLAG, readOptions, TEXT } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';
import { endAll, runningIn, startedIn } from '../up/data-folder.mjs';
import { commandLineOf, signalQuietly } from '../up/identity.mjs';
import { folderNamed } from '../up/options.mjs';
import { ask } from '../up/readiness.mjs';

const DOWN_HELP = `penstock down: end what a start in this folder runs

  --data-dir DIR     data folder of penstock up, or of npm start   (.penstock)
  --help             print this help

It does what Ctrl-C does at the start: no new requests, running answers finish, then Redis ends. It ends only processes
that pids.json in that folder names and that run since then. If the start itself was killed, running answers are cut. Exit code 0: none of them runs; 1: they did not end in
time; 2: a wrong option, or the start of another user.
`;

const OPTIONS = { 'data-dir': TEXT, help: HELP_FLAG };
const LATE = 1;
const NOT_DONE = 2;
const LOOK_EVERY_MS = 100;
const TELL_EVERY_MS = 3_000;
/** Longer than the longest default drain of a program, in milliseconds. */
const LIMIT_MS = 660_000;
const ANSWER_WITHIN_MS = 1_000;
/** `penstock up` and `npm start`, from a checkout or an installed package. */
const START = /penstock(\.mjs)? up( |$)/;

/** @typedef {import('../up/data-folder.mjs').Noted} Noted */

/**
 * @param {readonly string[]} args arguments after `down`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 */
export async function downCommand(args, { cwd, print, say }) {
  try {
    const { values: asked } = readOptions('penstock down', args, OPTIONS, 0);
    if (asked.help === true) return print(DOWN_HELP.trimEnd());
    const folder = folderNamed('--data-dir', asked['data-dir'] ?? '.penstock', cwd);
    const running = runningIn(folder);
    if (running.length === 0) return print(`nothing runs in ${folder}`);
    const start = running.find(({ name }) => name === 'start');
    if (start === undefined) {
      print(`the start in ${folder} was killed; ending what it left: ${namesOf(running)}`);
      await endAll(running);
      return print('ended');
    }
    return await endStart(start, folder, { print, say });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`penstock: ${error.message}`);
    return NOT_DONE;
  }
}

/**
 * @param {Noted} start @param {string} folder
 * @param {Pick<import('./compiled.mjs').CommandSetup, 'print' | 'say'>} output
 * @returns {Promise<number>} exit code
 * @throws Refusal if that process is no start of Penstock
 */
async function endStart(start, folder, { print, say }) {
  if (!START.test(commandLineOf(start.pid)))
    throw new Refusal(`process ${start.pid}, which ${folder} names as its start, is no penstock up: it was left alone`);
  const beganAt = performance.now();
  const seconds = () => ((performance.now() - beganAt) / 1_000).toFixed(1);
  const gateways = (startedIn(folder) ?? []).filter(({ name }) => name.startsWith('gateway'));
  const names = namesOf(runningIn(folder));
  print(`stopping the start in ${folder}, pid ${start.pid}${names === '' ? '' : `: ${names}`}`);
  signalQuietly(start.pid, 'SIGTERM');
  let toldAt = performance.now();
  for (let running = runningIn(folder); running.length > 0; running = runningIn(folder)) {
    if (performance.now() - beganAt > LIMIT_MS) {
      say(`penstock: it still runs after ${seconds()} s; kill -9 ${start.pid} ends it with all its processes`);
      return LATE;
    }
    if (performance.now() - toldAt > TELL_EVERY_MS) {
      toldAt = performance.now();
      print(`${seconds()} s: ${namesOf(running)} still run; ${await openRequests(gateways)} requests are open`);
    }
    await setTimeout(LOOK_EVERY_MS);
  }
  return print(`stopped in ${seconds()} s`);
}

/** @param {readonly { url: string }[]} gateways */
async function openRequests(gateways) {
  const answers = await Promise.all(gateways.map(({ url }) => ask(`${url}/status`, ANSWER_WITHIN_MS)));
  const open = answers.map((answer) => /** @type {{ openRequests?: unknown }} */ (answer?.body ?? {}).openRequests);
  return open.reduce((/** @type {number} */ sum, count) => sum + (typeof count === 'number' ? count : 0), 0);
}

/** The guard is of no interest to people. @param {readonly Noted[]} running */
function namesOf(running) {
  return running
    .map(({ name }) => name)
    .filter((name) => name !== 'guard' && name !== 'start')
    .join(', ');
}
