// @ts-check
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Not ours, made by programs, or recorded from elsewhere. */
const PASSED_OVER = new Set(['.git', '.cache', '.penstock', 'coverage', 'dist', 'node_modules', 'test/fixtures']);

/** Every page of the repository. @param {string} root @returns {string[]} names relative to it */
export function pages(root) {
  return filesBelow(root, '').filter((file) => file.endsWith('.md'));
}

/** Programs, commands and scripts, whose comments and messages people read. @param {string} root @returns {string[]} */
export function sources(root) {
  const folders = ['gateway', 'worker-launcher', 'deploy', 'charts'];
  return folders
    .flatMap((folder) => filesBelow(root, folder))
    .filter((file) => /\.(ts|mjs|sh|yaml|tpl|txt|bicep|Dockerfile)$/.test(file));
}

/** @param {string} root @param {string} folder @returns {string[]} sorted */
function filesBelow(root, folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const file = join(folder, entry.name);
      if (PASSED_OVER.has(entry.name) || PASSED_OVER.has(file)) return [];
      return entry.isDirectory() ? filesBelow(root, file) : [file];
    })
    .sort();
}
