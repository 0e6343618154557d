import { appendFileSync, existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { z } from 'zod';
import { startClientStack, type ClientStack } from '../sdks/client-stack.ts';
import { CLIENTS, Runtimes, casesOf, expectedOf, type Line } from '../sdks/clients.ts';
import { runClient } from '../sdks/run-client.ts';

/** Set by `npm run sdks`: the installed clients, and the file for the results. Without them no client runs. */
const { PENSTOCK_SDKS_RUNTIMES: given = '{}', PENSTOCK_SDKS_FILE: told } = process.env;
const runtimes = Runtimes.parse(JSON.parse(given));
const LIMIT_MS = 900_000;

const files = [...new Set(CLIENTS.map(({ file }) => file))].flatMap((file) => {
  const clients = CLIENTS.filter((client) => client.file === file);
  const runtime = runtimes[clients[0]?.runtime ?? ''];
  return runtime === undefined ? [] : [{ file, clients, runtime }];
});
let stack: ClientStack | undefined;
beforeAll(async () => {
  if (files.length > 0) stack = await startClientStack();
}, 120_000);
afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
});

test('each client in the table has a unique name and a file', () => {
  expect(new Set(CLIENTS.map(({ name }) => name)).size).toBe(CLIENTS.length);
  expect(CLIENTS.filter(({ file }) => !existsSync(`test/sdks/clients/${file}`))).toEqual([]);
});

for (const { file, clients, runtime } of files)
  describe(file, () => {
    let lines: z.infer<typeof Line>[] = [];
    beforeAll(async () => {
      if (stack !== undefined) lines = await runClient(runtime, file, stack.served);
    }, LIMIT_MS);

    test('it reports exactly the clients and cases in the table', () => {
      const wanted = clients.flatMap((client) => casesOf(client).map((one) => `${client.name}: ${one}`));
      expect(lines.map((line) => `${line.client}: ${line.case}`).toSorted()).toEqual(wanted.toSorted());
    });

    for (const client of clients)
      describe(client.name, () => {
        test.each(casesOf(client))('%s', (one) => {
          const line = lines.find((each) => each.client === client.name && each.case === one);
          const why = client.shortfalls?.[one]?.why;
          const note = (result: string): void => {
            const seen = { client: client.name, version: line?.version, case: one, result, why, needs: client.needs };
            if (told !== undefined) appendFileSync(told, `${JSON.stringify(seen)}\n`);
          };
          try {
            expect(line?.outcome).toMatchObject(expectedOf(client, one, stack));
          } catch (error) {
            note('FAILED');
            throw error;
          }
          note(why === undefined ? 'met' : 'falls short');
        });
      });
  });
