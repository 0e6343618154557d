// @ts-check
import { readFileSync } from 'node:fs';
import { startPenstock } from './start-penstock.mjs';
import {
  startDirect,
  startExpress,
  startExpressWithQueue,
  startLitellm,
  startNginx,
  startPortkey,
  startRouter,
} from './start-peer.mjs';

/**
 * @typedef {import('./cpu.mjs').Watched} Watched
 * @typedef {object} Running a gateway in front of the engine
 * @property {readonly number[]} ports one of each gateway process
 * @property {Record<string, string>} headers of every request
 * @property {Record<string, Watched>} watched processes whose CPU and memory count, by name
 * @property {readonly number[]} [enginePids] absent if the gateway starts the engine
 * @property {string} log name of the log to quote if it does not start
 * @property {() => { watched: Record<string, Watched>, enginePids: number[] }} [settled] processes that exist only after the start
 *
 * @typedef {object} Place where and with what to start
 * @property {string} cache folder of the installed peers
 * @property {string} folder for files of this run
 * @property {import('./processes.mjs').Processes} processes
 * @property {(index: number) => readonly number[] | null} core of each process of the gateway; null: not pinned
 * @property {readonly number[] | null} engineCores
 *
 * @typedef {object} Install
 * @property {string} folder in the cache
 * @property {'debian' | 'npm' | 'pypi'} from
 * @property {readonly string[]} packages with pinned versions
 * @property {string} [program] in the folder, if it needs shared libraries of this machine
 * @property {string} [symbols] a library whose symbols are large: a pack has it without them
 * @property {readonly string[]} [unused] folders that its start does not need: they are not in a pack
 *
 * @typedef {object} Peer
 * @property {string} name for `--only`
 * @property {string} title
 * @property {string} version
 * @property {Install} [install] absent: nothing to install
 * @property {string} [problem] why it cannot start
 * @property {string} [note] for a reader of the table
 * @property {(place: Place) => Promise<Running>} start
 */

const ROOT = new URL('../../../', import.meta.url);
/** @param {string} name of a dependency of this repository */
const versionOf = (name) => {
  const file = new URL(`node_modules/${name}/package.json`, ROOT);
  return /** @type {{ version: string }} */ (JSON.parse(readFileSync(file, 'utf8'))).version;
};
const EXPRESS = `${versionOf('express')}, undici ${versionOf('undici')}`;
const LITELLM_INSTALL = /** @type {const} */ ({
  folder: 'litellm',
  from: 'pypi',
  packages: ['litellm[proxy]==1.106.4'],
  unused: ['_polars_runtime_32', 'polars', 'granian', 'hf_xet', 'pyroscope', 'litellm/proxy/_experimental/out'],
});

/** Every gateway that `npm run bench` knows, in the order of the table, with its pinned version. @type {readonly Peer[]} */
export const PEERS = [
  { name: 'direct', title: 'direct, no gateway', version: '', start: startDirect },
  {
    name: 'nginx',
    title: 'nginx',
    version: '1.22.1 (Debian 12)',
    install: { folder: 'nginx', from: 'debian', packages: ['nginx=1.22.1*'], program: 'usr/sbin/nginx' },
    start: startNginx,
  },
  { name: 'express', title: 'Express + undici', version: EXPRESS, start: (place) => startExpress(place, 'express') },
  {
    name: 'express-json',
    title: 'Express + JSON + undici',
    version: EXPRESS,
    start: (place) => startExpress(place, 'express-json'),
  },
  {
    name: 'express-bullmq',
    title: 'Express + BullMQ',
    version: `${versionOf('bullmq')}, one Redis`,
    note: 'The simplest chain with a queue: only an id is in Redis, and a crash loses the request.',
    start: startExpressWithQueue,
  },
  {
    name: 'portkey',
    title: 'Portkey',
    version: '1.15.2',
    install: {
      folder: 'portkey',
      from: 'npm',
      // With a newer node-server every stream of this version fails.
      packages: ['@portkey-ai/gateway@1.15.2', '@hono/node-server@1.13.5'],
    },
    start: startPortkey,
  },
  {
    name: 'litellm',
    title: 'LiteLLM',
    version: '1.106.4',
    install: LITELLM_INSTALL,
    note: 'The newest version whose `proxy` dependencies the registry has; one worker.',
    start: (place) => startLitellm(place, false),
  },
  {
    name: 'litellm-rust',
    title: 'LiteLLM, LITELLM_RUST=true',
    version: '1.106.4',
    install: LITELLM_INSTALL,
    note: 'Its documentation lists no Rust path for engines with the OpenAI API; there Python does the work.',
    start: (place) => startLitellm(place, true),
  },
  {
    name: 'sglang-router',
    title: 'sglang-router',
    version: '0.3.2',
    install: {
      folder: 'sglang-router',
      from: 'pypi',
      packages: ['sglang-router==0.3.2'],
      symbols: 'sglang_router/sglang_router_rs.abi3.so',
    },
    start: (place) => startRouter(place, 'sglang-router'),
  },
  {
    name: 'vllm-router',
    title: 'vllm-router',
    version: '0.1.17',
    install: {
      folder: 'vllm-router',
      from: 'pypi',
      packages: ['vllm-router==0.1.17'],
      symbols: 'vllm_router_rs.abi3.so',
    },
    start: (place) => startRouter(place, 'vllm-router'),
  },
  {
    name: 'smg',
    title: 'smg',
    version: '1.13.0',
    install: { folder: 'smg', from: 'pypi', packages: ['smg==1.13.0'], symbols: 'smg/smg_rs.abi3.so' },
    start: (place) => startRouter(place, 'smg', ['--disable-tokenizer-autoload']),
  },
  { name: 'penstock', title: '**Penstock**', version: 'this checkout, two Redis', start: startPenstock },
];
