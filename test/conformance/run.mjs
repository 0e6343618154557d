/**
 * Sends every recorded request to the simulator and compares the answers. Needs a build (`npm run build`).
 * `node test/conformance/run.mjs [part of a file name]`; ends with `matched N of M`, exit 1 below 270 of all.
 */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCapture } from './capture.mjs';
import { difference, messageOf } from './compare.mjs';
import { png } from './requests.mjs';
import { replay } from './replay.mjs';
import { groupOf, startPictureServer, startSimulator } from './servers.mjs';
import { stories } from './stories.mjs';

const FIXTURES = fileURLToPath(new URL('../fixtures/vllm/', import.meta.url));
const GROUPS = /** @type {const} */ (['vision', 'text', 'media']);
const AT_ONCE = 8;
const LEAST = 270;

/** Why a recording can't match in every run. */
const REASONS = /** @type {Record<string, string>} */ ({
  'overload-metrics': 'counters of the tool-call parser are not simulated',
  'n-2-stream': 'which of two choices comes first within a step is a race in the recorded server',
});

const only = process.argv[2] ?? '';
const folder = await mkdtemp(join(tmpdir(), 'penstock-conformance-'));
await writeFile(join(folder, 'vllm-test.png'), png(640, 480));
const unmatched = /** @type {string[]} */ ([]);
let total = 0;
let sameWords = 0;
let withWords = 0;
const pictures = await startPictureServer();
try {
  for (const version of /** @type {const} */ (['0.32', '0.33'])) {
    const place = version === '0.32' ? FIXTURES : join(FIXTURES, 'v0.33');
    const files = (await readdir(place))
      .filter((file) => file.endsWith('.http') && !file.startsWith('fail-') && file.includes(only))
      .toSorted();
    total += files.length;
    for (const group of GROUPS) {
      const names = files.filter((file) => groupOf(file) === group);
      if (names.length === 0) continue;
      const simulator = await startSimulator(group, version, folder);
      try {
        await checkGroup(group, names, place, version, {
          simulator: simulator.url,
          pictures: pictures.url,
          others: pictures.other,
          folder,
        });
      } finally {
        await simulator.stop();
      }
    }
  }
} finally {
  await pictures.stop();
  await rm(folder, { recursive: true });
}
if (unmatched.length > 0) process.stdout.write(`not matched:\n${unmatched.toSorted().join('\n')}\n`);
process.stdout.write(`error messages equal to the letter: ${sameWords} of ${withWords}\n`);
process.stdout.write(`matched ${total - unmatched.length} of ${total}\n`);
process.exitCode = only === '' && total - unmatched.length < LEAST ? 1 : 0;

/**
 * @param {import('./servers.mjs').Group} group
 * @param {string[]} names
 * @param {string} place
 * @param {'0.32' | '0.33'} version
 * @param {import('./replay.mjs').Places} places
 */
async function checkGroup(group, names, place, version, places) {
  const check = async (/** @type {string} */ file) => {
    const problem = await checkFile(join(place, file), version, places).catch((error) => String(error));
    if (problem !== undefined) unmatched.push(`  ${version} ${file}: ${problem}`);
  };
  // Requests to the text server change its state for later ones.
  if (group === 'text') for (const name of inOrder(names)) await check(name);
  else await inParallel(names, check);
}

/**
 * @param {string} file
 * @param {'0.32' | '0.33'} version
 * @param {import('./replay.mjs').Places} places
 */
async function checkFile(file, version, places) {
  const capture = await readCapture(file, version);
  if (capture === undefined) {
    const story = stories[(file.split('/').at(-1) ?? '').replace(/\.http$/, '')];
    return story === undefined ? 'tells of several requests in words; no replay of it is written' : story(places);
  }
  const expected = {
    status: capture.status,
    contentType: capture.contentType,
    headerNames: capture.headerNames,
    // Recorded raw, with chunk sizes.
    body: capture.name === 'stream-keep-alive' ? capture.answer.replaceAll(/^[0-9a-f]+$/gm, '') : capture.answer,
  };
  const seen = await replay(capture, places);
  const problem = difference(expected, seen);
  const words = messageOf(expected.body);
  if (problem === undefined && words !== undefined) {
    withWords += 1;
    if (words === messageOf(seen.body)) sameWords += 1;
    else if (process.env['SHOW_WORDS'] === '1') {
      process.stdout.write(`  ${version} ${capture.name}\n    real ${words}\n    ours ${messageOf(seen.body)}\n`);
    }
  }
  const reason = REASONS[capture.name];
  return problem === undefined || reason === undefined ? problem : `${reason}; ${problem}`;
}

/** The sleeping server is woken after the requests that need it asleep. @param {string[]} names */
function inOrder(names) {
  const steps = [
    'dev-is-sleeping.',
    'dev-sleep',
    'dev-chat-while',
    'dev-health',
    'dev-is-sleeping-after',
    'dev-wake',
    'dev-chat-after',
  ];
  const rank = (/** @type {string} */ name) => steps.findIndex((step) => name.startsWith(step));
  return names.toSorted((a, b) => rank(a) - rank(b));
}

/**
 * @param {string[]} names
 * @param {(name: string) => Promise<void>} check
 */
async function inParallel(names, check) {
  const queue = [...names];
  const work = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) await check(name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
