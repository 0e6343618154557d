// @ts-check
import { rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepare } from './prepare.mjs';
import { Refusal } from './refusal.mjs';

/** `npm pack` and `npm publish` run this first: it rebuilds `dist`, so that the package contains no stale module. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
/** Writes to standard error, because npm prints the package's name on standard output. @param {string} line */
const say = (line) => void process.stderr.write(`${line}\n`);

rmSync(join(root, 'dist'), { recursive: true, force: true });
// `npm pack --dry-run` would make the install of its scripts a dry run as well
const env = { ...process.env, npm_config_dry_run: 'false' };
await prepare(root, { say, env, everything: true }).catch((error) => {
  if (!(error instanceof Refusal)) throw error;
  say(`penstock: ${error.message}`);
  process.exitCode = 1;
});
