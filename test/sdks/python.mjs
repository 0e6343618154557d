// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const REQUIREMENTS = fileURLToPath(new URL('requirements.txt', import.meta.url));
const CLIENTS = fileURLToPath(new URL('clients', import.meta.url));
const REQUIREMENTS_OF_CLIENTS = join(CLIENTS, 'python/requirements');
/** Installs the clients, with some 480 packages, faster than pip. */
const UV = 'uv==0.13.9';
const HINT = `the SDKs for Python need python3 (the further clients 3.11 or later) with its module venv (Debian:
apt-get install python3-venv) and a way to PyPI; --node leaves them out`;

/**
 * A Python environment with `requirements.txt`, recreated when that has changed.
 * @param {string} folder of its own
 * @returns {string} its interpreter
 * @throws Error that names the missing part
 */
export function pythonWithSdks(folder) {
  return environment(folder, readFileSync(REQUIREMENTS, 'utf8'), (python) =>
    run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS]),
  );
}

/**
 * An older version of OpenAI's SDK for Python.
 * @param {string} folder of its own
 * @returns {import('./sdks.ts').Version}
 */
export function olderOpenai(folder) {
  const wanted = 'openai==1.109.1';
  const python = environment(folder, wanted, (made) =>
    run(made, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', wanted]),
  );
  return { name: 'openai (Python) 1.109.1', command: [python, 'test/sdks/openai_sdk.py'] };
}

/**
 * One environment per file of `clients/python/requirements`, because their pins conflict.
 * @param {string} cache folder of the environments
 * @returns {Record<string, import('./clients.ts').Runtime>} by name
 * @throws Error that names the missing part
 */
export function pythonClients(cache) {
  const uv = environment(join(cache, 'uv'), UV, (python) =>
    run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', UV]),
  );
  const names = readdirSync(REQUIREMENTS_OF_CLIENTS).filter((file) => file.endsWith('.txt'));
  return Object.fromEntries(
    names.map((listed) => {
      const [name, file] = [basename(listed, '.txt'), join(REQUIREMENTS_OF_CLIENTS, listed)];
      const program = environment(join(cache, name), readFileSync(file, 'utf8'), (python) =>
        run(uv, ['-m', 'uv', 'pip', 'install', '--quiet', '--python', python, '-r', file]),
      );
      return [name, { program, folder: CLIENTS }];
    }),
  );
}

/** Lines `name==version` of `requirements.txt`. @returns {string[]} */
export function pythonVersions() {
  return readFileSync(REQUIREMENTS, 'utf8').trim().split('\n');
}

/** @param {string} folder @param {string} wanted @param {(python: string) => void} install @returns {string} its interpreter */
function environment(folder, wanted, install) {
  const python = join(folder, 'bin/python');
  const record = join(folder, 'installed.txt');
  if (existsSync(record) && readFileSync(record, 'utf8') === wanted) return python;
  rmSync(folder, { recursive: true, force: true });
  run('python3', ['-m', 'venv', folder]);
  install(python);
  // Last, so that half an installation does not count as complete.
  writeFileSync(record, wanted);
  return python;
}

/** @param {string} file @param {readonly string[]} args */
function run(file, args) {
  const { status, error, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (status === 0) return;
  const said = (error?.message ?? `${stdout}${stderr}`).trim().split('\n').slice(-4).join('\n');
  throw new Error(`${file} ${args.slice(0, 3).join(' ')}: ${said}\n${HINT}`);
}
