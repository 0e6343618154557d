import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { startChromium } from '../support/chromium.ts';
import { penstock } from '../support/penstock-command.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

export const MODEL = 'Phi-3-vision-128k-instruct';

/** A browser before a real stack: one gateway without keys, one with keys. */
export interface Stand extends AsyncDisposable {
  readonly browser: Browser;
  readonly stack: Stack;
  /** the gateway with keys */
  readonly keyedUrl: string;
  /** a key without scopes, one with `operate`, and one that may send a single request a minute */
  readonly callerKey: string;
  readonly operatorKey: string;
  readonly limitedKey: string;
}

/** One thing that a user of the console notices. */
export interface Check {
  readonly name: string;
  /** @returns figures, for the reader */
  readonly run: (stand: Stand) => Promise<string>;
}

export async function startStand(): Promise<Stand> {
  const folder = temporaryFolder();
  const file = join(folder.path, 'keys.yaml');
  const create = async (id: string, ...more: string[]): Promise<string> => {
    const { code, stdout, stderr } = await penstock(['keys', 'create', '--file', file, '--id', id, ...more]);
    if (code !== 0) throw new Error(stderr);
    return stdout.trim();
  };
  const callerKey = await create('team-oslo');
  const operatorKey = await create('operators', '--scope', 'operate');
  const limitedKey = await create('limited', '--requests-per-minute', '1');
  const [browser, stack] = await Promise.all([
    startChromium(),
    startStack({ engines: 2, workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '15' } }),
  ]);
  const keyed = await stack.startGateway({ GATEWAY_KEYS_FILE: file });
  return {
    browser,
    stack,
    keyedUrl: keyed.url,
    callerKey,
    operatorKey,
    limitedKey,
    async [Symbol.asyncDispose]() {
      await browser.close();
      await stack[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** @throws Error with the problem */
export function must(holds: boolean, problem: string): void {
  if (!holds) throw new Error(problem);
}
