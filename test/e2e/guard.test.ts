import { appendFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, test } from '@jest/globals';
import { z } from 'zod';
import type { Check } from '../guard/check.ts';
import { CROOKED_HEADS } from '../guard/crooked-heads.ts';
import { DEADLY_REQUESTS } from '../guard/deadly-requests.ts';
import { ENGINE_REQUESTS } from '../guard/engine-requests.ts';
import { FOREIGN_PAGES } from '../guard/foreign-pages.ts';
import { HELD_LOOP } from '../guard/held-loop.ts';
import { LOCAL_USERS } from '../guard/local-users.ts';
import { LYING_PICTURES } from '../guard/lying-pictures.ts';
import { SLOW_HOSTS } from '../guard/slow-hosts.ts';
import { startStand, type Stand } from '../guard/stand.ts';
import { TOLD_AND_LOGGED } from '../guard/told-and-logged.ts';
import { UNFINISHED } from '../guard/unfinished.ts';

/** Every family of attacks in order; `npm run guard` runs the same at full length. */
const CHECKS: readonly Check[] = [
  ...SLOW_HOSTS,
  ...HELD_LOOP,
  ...UNFINISHED,
  ...ENGINE_REQUESTS,
  ...LYING_PICTURES,
  ...DEADLY_REQUESTS,
  ...FOREIGN_PAGES,
  ...LOCAL_USERS,
  ...TOLD_AND_LOGGED,
  ...CROOKED_HEADS,
];
const LIMIT_MS = 180_000;
const Settings = z.object({
  /** file from which `npm run guard` reads the measurements */
  PENSTOCK_GUARD_FILE: z.string().optional(),
});
const { PENSTOCK_GUARD_FILE: file } = Settings.parse(process.env);

let stand: Stand;
beforeAll(async () => {
  stand = await startStand();
}, LIMIT_MS);
afterAll(async () => {
  await stand[Symbol.asyncDispose]();
});

const tell = (check: Check, outcome: string, figure: string): void => {
  const cells = [check.row, check.name, check.sent, outcome, figure.replaceAll(/\s+/g, ' ')];
  if (file !== undefined) appendFileSync(file, `${cells.join('\t')}\n`);
};

describe('one caller does not delay another', () => {
  test.each(CHECKS.map((check) => [check.row, check.name, check] as const))(
    '%s: %s',
    async (_row, _name, check) => {
      try {
        tell(check, 'passed', await check.run(stand));
      } catch (error) {
        tell(check, 'FAILED', error instanceof Error || isMessage(error) ? error.message : String(error));
        throw error;
      }
    },
    LIMIT_MS,
  );
});

/** In jest, errors of Node are not instances of Error. */
function isMessage(error: unknown): error is { message: string } {
  return typeof error === 'object' && error !== null && 'message' in error;
}
