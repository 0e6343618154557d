import { execFile } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Timeouts in milliseconds: Python starts fast, but `vllm --version` imports all of vLLM, which takes up to a minute. */
const METADATA_WITHIN_MS = 10_000;
const COMMAND_WITHIN_MS = 60_000;
const FROM_METADATA = 'import importlib.metadata as m; print(m.version("vllm"))';

/** The release that the images pin, for which the card's flags are written. */
const PINNED = '0.33.0';

/**
 * @param version such as `0.24.0`; null: unknown
 * @returns a warning, in a sentence, if vLLM is older than the pinned release; it is started anyway
 */
export function olderVllm(version: string | null): string | undefined {
  if (version === null || !isOlder(version, PINNED)) return undefined;
  return `vLLM ${version} is older than ${PINNED}, which Penstock's images pin: the launcher leaves out arguments that it lacks, and requests that ${PINNED} refuses may crash its engines; install vllm==${PINNED}`;
}

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  const [pinnedMajor = 0, pinnedMinor = 0, pinnedPatch = 0] = than.split('.').map(Number);
  return (major - pinnedMajor || minor - pinnedMinor || patch - pinnedPatch) < 0;
}

/** @returns the path of the command, or undefined if it is not on PATH */
export function commandOnPath(command: string, path: string | undefined): string | undefined {
  return (path ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, command))
    .find(isExecutable);
}

/**
 * The version of the `vllm` on PATH, such as `0.33.0`: from the package metadata, read by the Python that runs the command,
 * else from `vllm --version`.
 * @returns null if there is no such command, or it prints no version
 */
export async function askVllmVersion(env: NodeJS.ProcessEnv): Promise<string | null> {
  const command = commandOnPath('vllm', env['PATH']);
  if (command === undefined) return null;
  const python = interpreterOf(command);
  const recorded =
    python === undefined ? null : await printedVersion(python, ['-c', FROM_METADATA], METADATA_WITHIN_MS, env);
  return recorded ?? (await printedVersion(command, ['--version'], COMMAND_WITHIN_MS, env));
}

/** The Python interpreter in a script's first line. */
function interpreterOf(command: string): string | undefined {
  const first = Buffer.alloc(512);
  const file = openSync(command, 'r');
  try {
    const length = readSync(file, first);
    return /^#!\s*(\/\S*python[\d.]*)\s*\n/.exec(first.toString('latin1', 0, length))?.[1];
  } finally {
    closeSync(file);
  }
}

function printedVersion(
  file: string,
  args: readonly string[],
  timeout: number,
  env: NodeJS.ProcessEnv,
): Promise<string | null> {
  const kept = { PATH: env['PATH'], HOME: env['HOME'], LD_LIBRARY_PATH: env['LD_LIBRARY_PATH'] };
  return new Promise((resolve) => {
    execFile(file, args, { timeout, env: kept, killSignal: 'SIGKILL' }, (error, stdout) =>
      resolve(error === null ? (/\b\d+\.\d+(?:\.\d+)?/.exec(stdout)?.[0] ?? null) : null),
    );
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
