// @ts-check
import { join } from 'node:path';
import { Refusal } from './refusal.mjs';
import { lastLines, runToEnd } from './run-to-end.mjs';

/** Packages that the build of the console needs. */
export const CONSOLE_PACKAGES = ['node_modules/vite', 'node_modules/preact'];

/**
 * The command that builds the console.
 * @param {string} root folder of package.json
 * @param {'info' | 'warn'} level what it prints
 */
export function consoleBuild(root, level) {
  return [join(root, 'node_modules/vite/bin/vite.js'), 'build', 'gateway/console', '--logLevel', level];
}

/**
 * Builds the page that the gateway serves to browsers, beside the modules of the gateway.
 * @param {string} root folder of package.json
 * @param {{ env: NodeJS.ProcessEnv, signal?: AbortSignal | undefined }} how
 * @throws Refusal with the last lines of the build
 */
export async function buildConsole(root, { env, signal }) {
  const built = await runToEnd(process.execPath, consoleBuild(root, 'warn'), { cwd: root, env, signal });
  if (built.code !== 0) throw new Refusal(`the build of the console failed:\n${lastLines(built.output, 15)}`);
}
