// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { freePort } from '#runtime/free-port';
import { onPath } from '../../deploy/local/setup/run-to-end.mjs';
import { endProgram, ROOT, startProgram, until } from '../drill/processes.mjs';

const CACHE = join(ROOT, '.cache/prometheus');
const READY_WITHIN_MS = 60_000;
const END_WITHIN_MS = 20_000;
/** Prometheus answers queries over two minutes of a few targets within milliseconds; a busy machine needs more. */
const ANSWER_WITHIN_MS = 60_000;

const Ranges = z.object({
  status: z.literal('success'),
  data: z.object({
    result: z.array(
      z.object({ metric: z.record(z.string(), z.string()), values: z.array(z.tuple([z.number(), z.string()])) }),
    ),
  }),
});
const Rules = z.object({
  data: z.object({
    groups: z.array(
      z.object({
        rules: z.array(
          z.object({ name: z.string(), health: z.string(), state: z.string(), lastError: z.string().optional() }),
        ),
      }),
    ),
  }),
});

/** @typedef {{ prometheus: string, promtool: string }} PrometheusPrograms paths */

/**
 * Prometheus and promtool: those on PATH, or those of Debian's package, unpacked into `.cache` without being installed.
 * @returns {PrometheusPrograms | undefined} undefined: this machine has neither, nor Debian's packages
 */
export function prometheusPrograms() {
  const found = { prometheus: onPath('prometheus', process.env), promtool: onPath('promtool', process.env) };
  if (found.prometheus !== undefined && found.promtool !== undefined)
    return { prometheus: found.prometheus, promtool: found.promtool };
  const bin = join(CACHE, 'files/usr/bin');
  const unpacked = { prometheus: join(bin, 'prometheus'), promtool: join(bin, 'promtool') };
  if (!existsSync(unpacked.promtool)) unpackPackage();
  return existsSync(unpacked.promtool) ? unpacked : undefined;
}

function unpackPackage() {
  rmSync(CACHE, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  const run = (/** @type {string} */ command, /** @type {string[]} */ ...args) =>
    spawnSync(command, args, { cwd: CACHE, stdio: 'ignore' }).status === 0;
  if (
    !run('apt-get', 'download', 'prometheus') &&
    !(run('apt-get', 'update') && run('apt-get', 'download', 'prometheus'))
  )
    return;
  const archive = readdirSync(CACHE).find((name) => name.endsWith('.deb'));
  if (archive !== undefined) run('dpkg-deb', '-x', archive, 'files');
}

/**
 * @typedef {object} Target what is scraped
 * @property {string} address `host:port`
 * @property {Record<string, string>} labels as the chart's PodMonitors set them
 */

/** A Prometheus that scrapes each second and evaluates the alerts. */
export class Prometheus {
  #program;
  #url;

  /** @param {import('../drill/processes.mjs').Program} program @param {string} url */
  constructor(program, url) {
    this.#program = program;
    this.#url = url;
  }

  /**
   * @param {PrometheusPrograms} programs
   * @param {{ folder: string, targets: readonly Target[], rules: string }} options `folder` for its data; `rules`: file
   */
  static async start({ prometheus }, { folder, targets, rules }) {
    const port = await freePort();
    const config = join(folder, 'prometheus.yaml');
    const settings = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '5s' },
      rule_files: [rules],
      scrape_configs: [
        {
          job_name: 'penstock',
          static_configs: targets.map(({ address, labels }) => ({ targets: [address], labels })),
        },
      ],
    };
    writeFileSync(config, stringify(settings));
    const address = `127.0.0.1:${port}`;
    const files = [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'series')}`];
    const args = [...files, `--web.listen-address=${address}`, '--log.level=warn'];
    const program = startProgram(prometheus, args, { PATH: process.env['PATH'] }, { ipc: false });
    const server = new Prometheus(program, `http://${address}`);
    const isReady = async () => {
      if (program.ended()) throw new Error(program.output());
      return (await fetch(`http://${address}/-/ready`)).ok;
    };
    await until('Prometheus is ready', isReady, READY_WITHIN_MS);
    return server;
  }

  /**
   * @param {string} query @param {number} fromMs @param {number} toMs time of day
   * @returns {Promise<{ metric: Record<string, string>, values: number[] }[]>} series that had a number at some time
   */
  async series(query, fromMs, toMs) {
    const asked = { query, start: String(fromMs / 1_000), end: String(toMs / 1_000), step: '2' };
    const answer = await this.#get('query_range', asked);
    return Ranges.parse(answer)
      .data.result.map(({ metric, values }) => ({
        metric,
        values: values.map(([, value]) => Number(value)).filter((value) => !Number.isNaN(value)),
      }))
      .filter(({ values }) => values.length > 0);
  }

  /** Every alert, with the state that it is in. */
  async alerts() {
    return Rules.parse(await this.#get('rules', {})).data.groups.flatMap(({ rules }) => rules);
  }

  /** @param {string} path @param {Record<string, string>} query @returns {Promise<unknown>} */
  async #get(path, query) {
    const url = `${this.#url}/api/v1/${path}?${new URLSearchParams(query).toString()}`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`Prometheus refused ${path} ${query['query'] ?? ''}: ${text}`);
    return JSON.parse(text);
  }

  async stop() {
    await endProgram(this.#program, END_WITHIN_MS);
  }
}
