// @ts-check
import { rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepare } from './prepare.mjs';
import { Refusal } from './refusal.mjs';

/** `npm pack` and `npm publish` run this first: a package holds `dist`, made anew, so that no module of old is in it. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
/** Standard output is npm's: it names the package. @param {string} line */
const say = (line) => void process.stderr.write(`${line}\n`);

rmSync(join(root, 'dist'), { recursive: true, force: true });
// `npm pack --dry-run` tells its scripts to install nothing either
const env = { ...process.env, npm_config_dry_run: 'false' };
await prepare(root, { say, env, everything: true }).catch((error) => {
  if (!(error instanceof Refusal)) throw error;
  say(`penstock: ${error.message}`);
  process.exitCode = 1;
});
