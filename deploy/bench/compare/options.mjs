// @ts-check
import { parseArgs } from 'node:util';

export const HELP = `usage: npm run bench -- [--only NAMES] [--loads NAMES] [--seconds N] [--streams N] [--out FOLDER] [--name NAME] [--part N/M]
       npm run bench -- --pack FILE [--only NAMES] [--python VERSION] [--addition]

Measures Penstock and other gateways in front of the same fast engine, two rounds in opposite orders. It installs pinned
versions into .cache/bench and writes a page with tables, and its charts. Linux only.

  --only NAMES     gateways, with commas between them (default: all; unknown names are listed)
  --loads NAMES    c1, c32, c256 (non-streamed, that many at a time), streams, picture, ttft (default: all)
  --seconds N      seconds of each load (default 15)
  --streams N      streams at the same time (default 1000; on two cores take 200)
  --out FOLDER     for NAME.md, NAME.svg and NAME.json (default deploy/bench/results; NAME.json in .cache/bench/results)
  --name NAME      of these files (default: date and host name)
  --part N/M       only this part of the run; parts of the same NAME are added to its page
  --pack FILE      write everything into one .tar.xz file of at most 60 MB, for a machine without network
  --python VERSION with --pack: minor version of Python on that machine, for example 3.12 (default: the one here)
  --addition       with --pack: only the installed gateways, for the folder of an earlier pack
  --help           this text`;

/**
 * @typedef {object} Options
 * @property {string[]} only
 * @property {string[]} loads
 * @property {number} seconds
 * @property {number} streams
 * @property {string | undefined} out
 * @property {string | undefined} name
 * @property {string} part
 * @property {string | undefined} pack
 * @property {string | undefined} python
 * @property {boolean} addition
 * @property {boolean} help
 */

/**
 * @param {readonly string[]} args
 * @param {{ peers: readonly string[], loads: readonly string[] }} known
 * @returns {Options}
 * @throws Error that names the wrong option
 */
export function readOptions(args, known) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      peers: { type: 'string' },
      loads: { type: 'string' },
      seconds: { type: 'string', default: '15' },
      streams: { type: 'string', default: '1000' },
      out: { type: 'string' },
      name: { type: 'string' },
      part: { type: 'string', default: '1/1' },
      pack: { type: 'string' },
      python: { type: 'string' },
      addition: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { out, name, part, pack, python, addition, help } = values;
  if (python !== undefined && !/^3\.\d+$/.test(python))
    throw new Error(`--python is ${python}: give a minor version, for example 3.12`);
  return {
    only: chosen('--only', values.only ?? values.peers, known.peers),
    loads: chosen('--loads', values.loads, known.loads),
    seconds: number('--seconds', values.seconds, 3),
    streams: number('--streams', values.streams, 1),
    out,
    name,
    part,
    pack,
    python,
    addition,
    help,
  };
}

/** @param {string} option @param {string | undefined} names @param {readonly string[]} known @returns {string[]} in the order of the table */
function chosen(option, names, known) {
  if (names === undefined) return [...known];
  const wanted = names.split(',').map((one) => one.trim());
  const wrong = wanted.filter((one) => !known.includes(one));
  if (wrong.length > 0) throw new Error(`${option} names ${wrong.join(', ')}: known are ${known.join(', ')}`);
  return known.filter((one) => wanted.includes(one));
}

/** @param {string} option @param {string} text @param {number} least */
function number(option, text, least) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least)
    throw new Error(`${option} is ${text}: give a whole number from ${least} up`);
  return value;
}
