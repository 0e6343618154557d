import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { WeightFile } from '#contract/model-card';
import { sizeProblem } from './weight-files.ts';

/** Where the weights of an engine are. */
export interface WeightsReport {
  readonly name: string;
  readonly kind: 'folder' | 'hub';
  /** the folder, or the snapshot in the hub's cache; null: vLLM must download them */
  readonly folder: string | null;
  /** size of the existing weight files, in GiB */
  readonly size_gib: number;
  /** why an engine cannot start with them */
  readonly problem: string | null;
  /** no weight files are needed: vLLM generates random weights */
  readonly dummy: boolean;
}

const GIB = 2 ** 30;
const WEIGHT_FILE = /\.(?:safetensors|bin|pt|gguf)$/;
const Index = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * Checks the files before an engine is started, because vLLM needs 15 s to fail over missing ones.
 * @param name folder, mounted share or hub name
 * @param revision of a hub name; absent: its main branch
 * @param needGib size of a possible download, if known
 * @param freeGib free disk space for it
 */
export function checkWeights(
  name: string,
  options: {
    readonly revision: string | undefined;
    /** as the card lists them; absent: only their presence is checked */
    readonly files?: readonly WeightFile[] | undefined;
    readonly engineArgs: readonly string[];
    readonly env: NodeJS.ProcessEnv;
    readonly needGib: number | undefined;
    readonly freeGib: number;
  },
): WeightsReport {
  const dummy = /--load-format[= ]dummy\b/.test(options.engineArgs.join(' '));
  const isFolder = /^[./~]/.test(name) || existsSync(name);
  if (isFolder) {
    const folder = resolve(name);
    return { name, kind: 'folder', folder, ...lookInto(folder, dummy, options.files), dummy };
  }
  const cache = join(hubCache(options.env), `models--${name.replaceAll('/', '--')}`);
  const folder = snapshotIn(cache, options.revision);
  const found = folder === undefined ? undefined : lookInto(folder, dummy, options.files);
  if (folder !== undefined && found?.problem === null) return { name, kind: 'hub', folder, ...found, dummy };
  const offline = ['1', 'ON', 'YES', 'TRUE'].includes((options.env['HF_HUB_OFFLINE'] ?? '').toUpperCase());
  const need = options.needGib ?? 0;
  const problem = offline
    ? `not in the hub's cache at ${cache}, and HF_HUB_OFFLINE is set${found?.problem ? ` (${found.problem})` : ''}`
    : !dummy && need > options.freeGib
      ? `the download needs ${need.toFixed(1)} GiB of disk, but only ${options.freeGib.toFixed(1)} GiB are free`
      : null;
  return { name, kind: 'hub', folder: null, size_gib: found?.size_gib ?? 0, problem, dummy };
}

/** Source: huggingface_hub, `HF_HUB_CACHE`, then `HF_HOME`, then `XDG_CACHE_HOME`. */
export function hubCache(env: NodeJS.ProcessEnv): string {
  const home = env['HF_HOME'] || join(env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache'), 'huggingface');
  return env['HF_HUB_CACHE'] || join(home, 'hub');
}

function snapshotIn(cache: string, revision: string | undefined): string | undefined {
  try {
    const commit = /^[0-9a-f]{40}$/.test(revision ?? '')
      ? (revision ?? '')
      : readFileSync(join(cache, 'refs', revision ?? 'main'), 'utf8').trim();
    const folder = join(cache, 'snapshots', commit);
    return existsSync(folder) ? folder : undefined;
  } catch {
    return undefined;
  }
}

function lookInto(
  folder: string,
  dummy: boolean,
  listed: readonly WeightFile[] | undefined,
): { size_gib: number; problem: string | null } {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return { size_gib: 0, problem: `the folder ${folder} cannot be read` };
  }
  if (!names.includes('config.json')) return { size_gib: 0, problem: `${folder} has no config.json` };
  const files = names.filter((name) => WEIGHT_FILE.test(name));
  const sizes = new Map(files.map((name) => [name, sizeOf(join(folder, name))]));
  const size_gib = [...sizes.values()].reduce((sum, size) => sum + size, 0) / GIB;
  if (dummy) return { size_gib, problem: null };
  const wanted = names.includes('model.safetensors.index.json')
    ? partsOf(join(folder, 'model.safetensors.index.json'))
    : files;
  const missing = wanted.filter((name) => (sizes.get(name) ?? 0) === 0);
  if (wanted.length === 0) return { size_gib, problem: `${folder} has no weight files` };
  if (missing.length > 0) return { size_gib, problem: `${folder} lacks ${missing.join(', ')}` };
  return { size_gib, problem: (listed && sizeProblem(folder, listed)) ?? null };
}

function partsOf(index: string): string[] {
  try {
    return [...new Set(Object.values(Index.parse(JSON.parse(readFileSync(index, 'utf8'))).weight_map))];
  } catch {
    return [];
  }
}

/** Size of a file in bytes; 0 for a broken link, because files in the hub's cache are links to blobs. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
