// @ts-check
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGED = 'charts/penstock/files';

/**
 * A chart cannot read files outside its folder, so it packages copies.
 * @returns {string[]} copies that differ, are missing or have no original, one sentence each
 */
export function copyProblems() {
  const copies = new Map([
    ...filesOf('deploy/models', '.yaml').map((path) => pair(path, 'models')),
    ...filesOf('deploy/models/more', '.yaml').map((path) => pair(path, 'models')),
    pair('deploy/observability/alerts.yaml', 'observability'),
    ...filesOf('deploy/observability/dashboards', '.json').map((path) => pair(path, 'observability/dashboards')),
  ]);
  const problems = ['models', 'observability', 'observability/dashboards']
    .flatMap((folder) => filesOf(`${PACKAGED}/${folder}`, ''))
    .filter((path) => !copies.has(path))
    .map((path) => `${path} has no original in deploy/`);
  for (const [copy, original] of copies)
    if (text(copy) !== text(original)) problems.push(`${copy} is not ${original}: copy it`);
  return problems;
}

/** @param {string} original @param {string} folder @returns {[string, string]} */
const pair = (original, folder) => [`${PACKAGED}/${folder}/${basename(original)}`, original];

/** @param {string} folder @param {string} ending */
function filesOf(folder, ending) {
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map(({ name }) => `${folder}/${name}`);
}

/** @param {string} path @returns {string | undefined} */
function text(path) {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}
