// @ts-check
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { run } from './tools.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const CHART = join(ROOT, 'charts/penstock');
export const KUBERNETES = '1.36.3';

/** The shapes of `ci/`, by name. @returns {{ shape: string, values: string }[]} */
export function shapes() {
  return readdirSync(join(CHART, 'ci'))
    .filter((file) => file.endsWith('-values.yaml'))
    .sort()
    .map((file) => ({ shape: basename(file, '-values.yaml'), values: join(CHART, 'ci', file) }));
}

/**
 * @param {string} helm path of the program
 * @param {string} values file
 * @param {readonly string[]} [more] arguments
 * @returns {Promise<string>} manifests, hooks included
 */
export async function render(helm, values, more = []) {
  const about = ['--namespace', 'penstock', '--kube-version', KUBERNETES, '-f', values];
  return await run(helm, ['template', 'shape', CHART, ...about, ...more]);
}

/**
 * @param {string} manifests
 * @returns {any[]}
 */
export function objects(manifests) {
  return parseAllDocuments(manifests)
    .map((document) => document.toJS())
    .filter((object) => object !== null);
}
