// @ts-check
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { install } from './prepare.mjs';
import { Refusal } from './refusal.mjs';

/** `npm run build` runs this first: it checks types, and a first start leaves out those that tests and checks need. */
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
