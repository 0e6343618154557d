// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const REQUIREMENTS = fileURLToPath(new URL('requirements.txt', import.meta.url));
const HINT = `the SDKs for Python need python3 with its module venv (Debian: apt-get install python3-venv) and a way to
PyPI; --node leaves them out`;

/**
 * A Python environment that holds `requirements.txt`, made anew when that has changed.
 * @param {string} folder of its own
 * @returns {string} its interpreter
 * @throws Error that says what is missing
 */
export function pythonWithSdks(folder) {
  const python = join(folder, 'bin/python');
  const record = join(folder, 'installed.txt');
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  if (existsSync(record) && readFileSync(record, 'utf8') === wanted) return python;
  rmSync(folder, { recursive: true, force: true });
  run('python3', ['-m', 'venv', folder]);
  run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS]);
  // Last, so that half an installation is not taken for a whole one.
  writeFileSync(record, wanted);
  return python;
}

/** Lines `name==version` of what stands in `requirements.txt`. @returns {string[]} */
export function pythonVersions() {
  return readFileSync(REQUIREMENTS, 'utf8').trim().split('\n');
}

/** @param {string} file @param {readonly string[]} args */
function run(file, args) {
  const { status, error, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (status === 0) return;
  const said = (error?.message ?? `${stdout}${stderr}`).trim().split('\n').slice(-4).join('\n');
  throw new Error(`${file} ${args.slice(0, 3).join(' ')}: ${said}\n${HINT}`);
}
