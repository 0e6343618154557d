// @ts-check
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { install } from './prepare.mjs';
import { Refusal } from './refusal.mjs';

/** `npm run build` runs this first: it needs all types, but a first start does not install those of tests and checks. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

await install(root, {
  say: (line) => void process.stderr.write(`${line}\n`),
  env: process.env,
  everything: true,
}).catch((error) => {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`penstock: ${error.message}\n`);
  process.exitCode = 1;
});
