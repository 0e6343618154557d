// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const PINS = fileURLToPath(new URL('requirements.txt', import.meta.url));
const CACHE = fileURLToPath(new URL('../../.cache/corpus', import.meta.url));
const LIMIT_MS = 600_000;

/**
 * A Python environment with Pillow and the encoders, recreated when their pins change.
 * @returns {string} its interpreter
 * @throws Error with the last lines of a failed installation
 */
export function pythonWithPillow() {
  const pins = readFileSync(PINS, 'utf8');
  const mark = join(CACHE, 'installed.txt');
  const python = join(CACHE, 'bin/python');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === pins) return python;
  console.log(`installing Pillow and encoders into ${CACHE} …`);
  rmSync(CACHE, { recursive: true, force: true });
  run('python3', ['-m', 'venv', CACHE]);
  run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', PINS]);
  // Last, so that half an installation does not count as complete.
  writeFileSync(mark, pins);
  return python;
}

/**
 * @param {string} file @param {readonly string[]} argv @param {string} [input]
 * @returns {string} its standard output
 * @throws Error with its last lines
 */
export function run(file, argv, input) {
  const options = { encoding: /** @type {const} */ ('utf8'), timeout: LIMIT_MS, maxBuffer: 64 * 1024 * 1024, input };
  const { status, error, stdout, stderr } = spawnSync(file, argv, options);
  if (status === 0) return stdout;
  throw new Error(`${file} ${argv[0] ?? ''}: ${error?.message ?? stderr.trim().slice(-2_000)}`);
}
