import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { BAD_REQUESTS } from '../../bad-requests/table.ts';
import { EVERY } from '../../bad-requests/route.ts';
import { documentOf } from '../../support/api-document.ts';

const E2E = 'test/e2e';
const SDKS = [`${E2E}/sdks.test.ts`, 'each status is an error of the SDK’s own, with our code and a sentence'] as const;
const CONFORMANCE = 'test/azure-conformance/expected/score-answers.yaml';
const KEYS = `${E2E}/keys.test.ts`;
const ONCE = [`${E2E}/openapi.test.ts`, 'a repeated key is refused by each API in its own words'] as const;
const OURS = ['test/integration/error-middleware.test.ts', 'a mistake of ours is a 500 of each API'] as const;
const LATE = [`${E2E}/connections.test.ts`, 'B1: a body that stalls is 408 in the words of each API'] as const;
const BY_OPENAI = [
  KEYS,
  '401 and 403 as OpenAI’s clients read them; the official SDK has its own class for each',
] as const;
const BY_ANTHROPIC = [
  KEYS,
  '401 and 403 as Anthropic’s clients read them; a key is found in their own header, on their routes alone',
] as const;
const RENDERED = [
  'test/unit/dialects/anthropic/messages.test.ts',
  'each failure has a type of this API, its code, and says whether to send it again',
] as const;
const BY_SCORE = [KEYS, '401 and 403 as Azure’s endpoint says them on /score'] as const;
const BY_AZURE = [KEYS, '401 and 403 as Azure’s other APIs say them'] as const;

/** Where a documented status is seen that no bad request leads to: the file, and a test or row of it by its name. */
const SHOWN: Readonly<Record<string, readonly [file: string, name: string]>> = {
  Openai401: BY_OPENAI,
  Openai403: BY_OPENAI,
  Openai408: LATE,
  Openai409: [`${E2E}/idempotency.test.ts`, 'a stream, or a very long answer, is not kept: told so, and not run again'],
  Openai422: [`${E2E}/idempotency.test.ts`, 'another body, another caller’s path or no key at all are other requests'],
  Openai429: SDKS,
  Openai500: OURS,
  Openai502: SDKS,
  Openai503: SDKS,
  Openai504: SDKS,
  AzureScore401: BY_SCORE,
  AzureScore403: BY_SCORE,
  AzureScore408: [CONFORMANCE, 'E.deadline'],
  AzureScore429: [CONFORMANCE, 'E.too-many-requests'],
  AzureScore503: [
    `${E2E}/azure-routes.test.ts`,
    'strict-compat: what Azure’s container hid behind an empty 200 is hidden here too',
  ],
  AzureInference401: BY_AZURE,
  AzureInference403: BY_AZURE,
  AzureInference408: LATE,
  AzureInference409: ONCE,
  AzureInference429: SDKS,
  AzureInference500: OURS,
  AzureInference502: SDKS,
  AzureInference503: SDKS,
  AzureInference504: SDKS,
  AzureOpenai401: BY_AZURE,
  AzureOpenai403: BY_AZURE,
  AzureOpenai408: LATE,
  AzureOpenai409: ONCE,
  AzureOpenai422: ONCE,
  AzureOpenai429: SDKS,
  AzureOpenai500: OURS,
  AzureOpenai502: SDKS,
  AzureOpenai503: SDKS,
  AzureOpenai504: SDKS,
  Anthropic401: BY_ANTHROPIC,
  Anthropic403: BY_ANTHROPIC,
  Anthropic408: LATE,
  Anthropic409: ONCE,
  Anthropic422: ONCE,
  Anthropic429: RENDERED,
  Anthropic500: OURS,
  Anthropic502: RENDERED,
  Anthropic503: RENDERED,
  Anthropic504: RENDERED,
};

const Referred = z.object({ $ref: z.string() });
const Operation = z.object({ responses: z.record(z.string(), z.unknown()) });

/** By the name that the document gives to what a dialect answers with one status. */
function documented(): Set<string> {
  const names = Object.values(documentOf().paths).flatMap((methods) =>
    Object.values(methods).flatMap((operation) =>
      Object.values(Operation.parse(operation).responses).flatMap((response) => {
        const { success, data } = Referred.safeParse(response);
        return success ? [data.$ref.split('/').at(-1) ?? ''] : [];
      }),
    ),
  );
  return new Set(names);
}

function sentBadly(): Set<string> {
  const shapes = new Map(EVERY.map(({ path, shape }) => [path, shape]));
  return new Set(
    BAD_REQUESTS.flatMap(({ path, status }) => {
      const shape = shapes.get(path);
      const name = shape?.replace(/(?:^|_)(\w)/g, (_match, letter: string) => letter.toUpperCase());
      return name === undefined ? [] : [`${name}${status}`];
    }),
  );
}

test('each documented status is seen by a test: of a bad request, or by one that is named here and exists', () => {
  const seen = sentBadly();
  const unseen = [...documented()].filter((name) => !seen.has(name)).toSorted();
  // 404s by path are rows of the table, under paths of their own.
  const byPath = ['AzureInference404', 'AzureOpenai404', 'AzureScore404', 'Openai404'];
  expect(unseen.filter((name) => !byPath.includes(name))).toEqual(Object.keys(SHOWN).toSorted());
  expect(BAD_REQUESTS.filter(({ status }) => status === 404).map(({ code }) => code)).toEqual(
    expect.arrayContaining(['model_not_found', 'deployment_not_found', 'DeploymentNotFound', 'route_not_found']),
  );
});

test.each(Object.entries(SHOWN))('%s: the test that shows it exists', (_status, [file, name]) => {
  expect(readFileSync(file, 'utf8')).toContain(name);
});
