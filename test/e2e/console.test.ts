import { appendFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { LIVE } from '../console/live-checks.ts';
import { lookChecks } from '../console/look-checks.ts';
import { PLAYGROUND } from '../console/playground-checks.ts';
import { SHORT } from '../console/short-checks.ts';
import { startStand, type Stand } from '../console/stand.ts';
import { either } from '../support/full-length.ts';

const Settings = z.object({
  /** file from which `npm run console:e2e` reads the figures */
  PENSTOCK_CONSOLE_FILE: z.string().optional(),
  /** folder for pictures of the pages */
  PENSTOCK_CONSOLE_SCREENSHOTS: z.string().optional(),
});
const { PENSTOCK_CONSOLE_FILE: file, PENSTOCK_CONSOLE_SCREENSHOTS: screenshots } = Settings.parse(process.env);
/** The browser may have to be installed first. */
const START_MS = 400_000;
const LIMIT_MS = 180_000;
const CHECKS = either([...SHORT, ...PLAYGROUND, ...LIVE, ...lookChecks(screenshots)], SHORT);

let stand: Stand;
beforeAll(async () => {
  stand = await startStand();
}, START_MS);
afterAll(async () => {
  await stand[Symbol.asyncDispose]();
}, LIMIT_MS);

test.each(CHECKS.map((check) => [check.name, check] as const))(
  'the console in a browser: %s',
  async (name, { run }) => {
    const figures = await run(stand).catch((error: unknown) => {
      tell('FAILED', name, String(error));
      throw error;
    });
    tell('passed', name, figures);
    expect(figures).toBeDefined();
  },
  LIMIT_MS,
);

function tell(outcome: string, name: string, figures: string): void {
  if (file !== undefined) appendFileSync(file, `${[outcome, name, figures.replaceAll(/\s+/g, ' ')].join('\t')}\n`);
}
