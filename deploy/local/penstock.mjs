#!/usr/bin/env node
// @ts-check
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answersCommand } from './commands/answers.mjs';
import { cardCommand } from './commands/card.mjs';
import { downCommand } from './commands/down.mjs';
import { keysCommand } from './commands/keys.mjs';
import { logsCommand } from './commands/logs.mjs';
import { HELP, parseCommand } from './up/options.mjs';
import { preflightCommand } from './commands/preflight.mjs';
import { Refusal } from './setup/refusal.mjs';
import { redisCommand } from './commands/redis.mjs';
import { statusCommand } from './commands/status.mjs';
import { up } from './up/up.mjs';
import { usageCommand } from './commands/usage.mjs';
import { webhooksCommand } from './commands/webhooks.mjs';
import { weightsCommand } from './commands/weights.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
// a closed reader, such as `| head` or a terminal, must not end the command half-way
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

/** Commands other than `up`. */
const TOOLS = new Map([
  ['keys', keysCommand],
  ['card', cardCommand],
  ['preflight', preflightCommand],
  ['down', downCommand],
  ['logs', logsCommand],
  ['status', statusCommand],
  ['usage', usageCommand],
  ['answers', answersCommand],
  ['webhooks', webhooksCommand],
  ['redis', redisCommand],
  ['weights', weightsCommand],
]);

process.exitCode = await main().catch((error) => {
  if (!(error instanceof Refusal)) throw error;
  return complain(error.message);
});

async function main() {
  const { name, version, engines } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8'));
  const [first, ...rest] = process.argv.slice(2);
  const tool = TOOLS.get(first ?? '');
  if (tool !== undefined) {
    if (!nodeIsNewEnough()) return complain(`Node ${process.versions.node} is too old: install Node ${engines.node}`);
    return tool(rest, { root, cwd: process.cwd(), env: process.env, print: say, say: tell });
  }
  const command = parseCommand(process.argv.slice(2), process.cwd());
  if (command.do === 'help') return say(HELP.trimEnd());
  if (command.do === 'version') return say(`${name} ${version}`);
  if (process.platform === 'win32') return complain('Windows is not supported: run this in WSL');
  if (!nodeIsNewEnough()) return complain(`Node ${process.versions.node} is too old: install Node ${engines.node}`);
  return up(command.options, { root, env: process.env, say, complain });
}

function nodeIsNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 20 || (major === 20 && minor >= 19);
}

/** @param {string} line */
function say(line) {
  process.stdout.write(`${line}\n`);
  return 0;
}

/** @param {string} line */
function tell(line) {
  process.stderr.write(`${line}\n`);
  return 0;
}

/** @param {string} sentence */
function complain(sentence) {
  process.stderr.write(`penstock: ${sentence}\n`);
  return 1;
}
