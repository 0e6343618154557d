import { appendFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runCheck } from '../azure-conformance/check.ts';
import { startPlaces, type Places } from '../azure-conformance/places.ts';
import { readChecks } from '../azure-conformance/rows.ts';

/** Set by `npm run conformance:azure`: which rows, by the beginning of their ids, and the file for the results. */
const { PENSTOCK_AZURE_ROWS: only = '', PENSTOCK_AZURE_ROWS_FILE: file } = process.env;

let places: Places;
beforeAll(async () => {
  places = await startPlaces();
}, 120_000);
afterAll(async () => {
  await places[Symbol.asyncDispose]();
});

const groups = readChecks().map(({ file: name, checks }) => ({
  name,
  checks: checks.filter(({ id }) => id.startsWith(only)),
}));

test.each(groups.map(({ name, checks }) => [name, checks] as const))(
  'every row of %s gets the answer in the file',
  async (_name, checks) => {
    const unmet: string[] = [];
    for (const check of checks) {
      const differences = await runCheck(check, places);
      const { id, follows, says, method, path } = check;
      if (differences.length > 0) unmet.push([`${id} (${follows}: ${says})`, ...differences].join('\n  '));
      if (file !== undefined)
        appendFileSync(file, `${JSON.stringify({ id, follows, says, request: `${method} ${path}`, differences })}\n`);
    }
    expect(unmet).toEqual([]);
  },
  180_000,
);
