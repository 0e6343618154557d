import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { BAD_REQUESTS } from '../../bad-requests/table.ts';
import { EVERY } from '../../bad-requests/route.ts';
import { documentOf } from '../../support/api-document.ts';

const E2E = 'test/e2e';
const SDKS = [`${E2E}/sdks.test.ts`, 'each status becomes an SDK error with our code and a sentence'] as const;
const CONFORMANCE = 'test/azure-conformance/expected/score-answers.yaml';
const KEYS = `${E2E}/keys.test.ts`;
const ONCE = [`${E2E}/openapi.test.ts`, 'a reused idempotency key is refused in each API’s form'] as const;
const OURS = ['test/integration/error-middleware.test.ts', 'a bug of ours is a 500 in each API’s form'] as const;
const LATE = [`${E2E}/connections.test.ts`, 'B1: a stalled body is 408 in each API’s form'] as const;
const BY_OPENAI = [KEYS, '401 and 403 in OpenAI’s form; the official SDK has a class for each'] as const;
const BY_ANTHROPIC = [KEYS, '401 and 403 in Anthropic’s form; its own key header works only on its routes'] as const;
const RENDERED = [
  'test/unit/dialects/anthropic/messages.test.ts',
  'each failure has a type of this API, its code, and says whether to retry',
] as const;
const BY_SCORE = [KEYS, '401 and 403 in the form of Azure’s endpoint on /score'] as const;
const BY_AZURE = [KEYS, '401 and 403 in the form of Azure’s other APIs'] as const;

/** For each documented status that no bad request causes: a file, and the name of a test or row in it that shows it. */
const SHOWN: Readonly<Record<string, readonly [file: string, name: string]>> = {
  Openai401: BY_OPENAI,
  Openai403: BY_OPENAI,
  Openai408: LATE,
  Openai409: [
    `${E2E}/idempotency.test.ts`,
    'on /v1/responses a stream is not kept: a repeat gets an error and does not run',
  ],
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
    'strict-compat: failures that Azure’s container hid behind an empty 200 are hidden here too',
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

/** Names of the documented responses, each of one dialect and status. */
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

test('each documented status has a test: a bad request, or an existing test that is named here', () => {
  const seen = sentBadly();
  const unseen = [...documented()].filter((name) => !seen.has(name)).toSorted();
  // 404s by path are rows of the table with their own paths.
  const byPath = ['AzureInference404', 'AzureOpenai404', 'AzureScore404', 'Openai404'];
  expect(unseen.filter((name) => !byPath.includes(name))).toEqual(Object.keys(SHOWN).toSorted());
  expect(BAD_REQUESTS.filter(({ status }) => status === 404).map(({ code }) => code)).toEqual(
    expect.arrayContaining(['model_not_found', 'deployment_not_found', 'DeploymentNotFound', 'route_not_found']),
  );
});

test.each(Object.entries(SHOWN))('%s: the named test exists', (_status, [file, name]) => {
  expect(readFileSync(file, 'utf8')).toContain(name);
});
