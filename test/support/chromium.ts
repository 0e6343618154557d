import { chromium, type Browser } from 'playwright-core';
import { z } from 'zod';
import { onPath, runToEnd } from '../../deploy/local/setup/run-to-end.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const Settings = z.object({
  /** a Chromium or Chrome that is not on PATH */
  PENSTOCK_TEST_CHROMIUM: z.string().optional(),
});
/** Root has no sandbox; containers have little shared memory. */
const FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];

/**
 * Starts a Chromium without a window. As root on Debian it is installed if there is none.
 * @throws Error that says how to get one
 */
export async function startChromium(): Promise<Browser> {
  const { PENSTOCK_TEST_CHROMIUM: named } = Settings.parse(process.env);
  const executablePath = named ?? found() ?? (await installed());
  if (executablePath === undefined)
    throw new Error(
      'no Chromium was found: install it (Debian: sudo apt-get install chromium), or name one with PENSTOCK_TEST_CHROMIUM',
    );
  return chromium.launch({ executablePath, args: FLAGS });
}

function found(): string | undefined {
  return NAMES.map((name) => onPath(name, process.env)).find((path) => path !== undefined);
}

async function installed(): Promise<string | undefined> {
  const apt = onPath('apt-get', process.env);
  if (apt === undefined || process.getuid?.() !== 0) return undefined;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'chromium']])
    await runToEnd(apt, args, { env });
  return found();
}
