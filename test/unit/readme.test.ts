import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { loadConfig } from '../../gateway/config.ts';
import { FAILURES, Failure, rowOf } from '../../gateway/failure.ts';
import type { FailureCode } from '../../gateway/failure.ts';
import { createAzureScore } from '../../gateway/dialects/score/score.ts';
import { ROUTES } from '../../gateway/http/routes.ts';
import { LARGEST_BATCH } from '../../gateway/request/chat.ts';
import { LIMITS } from '../../gateway/dialects/reading/limits.ts';
import { openai } from '../../gateway/dialects/openai/chat.ts';
import { columnOf } from '../../gateway/dialects/reading/request-fields.ts';
import { documentOf } from '../support/api-document.ts';
import { phi3Card } from '../support/phi3-card.ts';

const readme = readFileSync('gateway/README.md', 'utf8');
/** Cells of all tables of a section, without heads and rules. */
const rowsOf = (section: string): string[][] =>
  section
    .split(/\n(?!\|)/)
    .map((block) => block.split('\n').filter((line) => line.startsWith('|')))
    .filter((lines) => lines.length > 2)
    .flatMap((lines) =>
      lines.slice(2).map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      ),
    );
const textOf = (heading: string, end: string): string => readme.split(`\n${heading}\n`)[1]?.split(`\n${end}`)[0] ?? '';
const limits = rowsOf(textOf('## Limits', '## '));
const errors = rowsOf(textOf('### Codes', '## '));

const config: Readonly<Record<string, unknown>> = { ...loadConfig({ GATEWAY_REDIS_URL: 'redis://127.0.0.1' }) };
const isCode = (name: string): name is FailureCode => Object.hasOwn(FAILURES, name);
const codes = Object.keys(FAILURES).filter(isCode);
const numbers = (cell: string): string[] => cell.split(';').map((part) => part.trim().replaceAll(',', ''));

test('the table of limits has the gateway’s defaults', () => {
  const named = limits.flatMap(([, where = '', standard = '']) => {
    const settings = where.match(/GATEWAY_\w+/g) ?? [];
    // Several defaults are in their order; the card's or the code's numbers may follow.
    return settings.map((name) => [name, numbers(standard)] as const);
  });
  for (const [name, defaults] of named) {
    if (name === 'GATEWAY_IMAGE_ALLOW') expect(config[name]).toEqual([]);
    else expect([name, defaults]).toEqual([name, expect.arrayContaining([String(config[name])])]);
  }
  const limiting = Object.keys(config).filter((name) => /LIMIT|MAX_|_TIMEOUT_|HOLD|MEMORY|UNKNOWN|SLOW/.test(name));
  const told = new Set(named.map(([name]) => name));
  expect(limiting.filter((name) => !told.has(name) && name !== 'GATEWAY_DRAIN_TIMEOUT_MS')).toEqual([]);
});

test('N3: the table of limits and the API document have every limit of lists and texts', () => {
  const rows = limits.filter(([, where]) => where === 'fixed');
  const shown = JSON.stringify(documentOf());
  for (const { of, most } of Object.values(LIMITS)) {
    expect(rows).toContainEqual([of, 'fixed', most.toLocaleString('en-US'), '`invalid_request`']);
    expect(shown).toContain(JSON.stringify(`- ${of}: ${most}`).slice(1, -1));
  }
  const batch = rows.find(([name = '']) => name.startsWith('prompts in a request'));
  expect(batch?.[2]).toBe(String(LARGEST_BATCH));
});

test("the table of limits has the shipped card's numbers", () => {
  const { limits: card } = phi3Card();
  const told = Object.fromEntries(
    limits.flatMap(([, where = '', standard = '']) => {
      const field = /`limits\.(\w+)`/.exec(where)?.[1];
      return field === undefined ? [] : [[field, numbers(standard)[0]]];
    }),
  );
  expect(told).toEqual({
    images_per_conversation: String(card.images_per_conversation),
    context_tokens: String(card.context_tokens),
    max_output_tokens: String(card.max_output_tokens),
    default_output_tokens: String(card.default_output_tokens),
    batch: card.batch ? 'any' : '1',
    tools: card.tools ? 'any' : 'none',
  });
});

test('every failure is in the table of errors, with its statuses and whether to retry', () => {
  const score = createAzureScore({ deploymentName: 'penstock' });
  const expected = codes.map((code) => {
    const failure = new Failure(code, 'why');
    const rendered = openai.renderFailure(failure);
    const azure = score.renderFailure(failure);
    const { retry } = rowOf(code);
    const behind = azure.headers['ms-azureml-model-error-statuscode'];
    return [
      `\`${code}\``,
      String(rendered.status),
      azure.status === 424 ? `424 (${behind})` : String(azure.status),
      AGAIN[String(retry)] ?? `yes, after ${retry} s`,
    ];
  });
  expect(errors.map((cells) => cells.slice(0, 4))).toEqual(expected);
  for (const cells of errors) expect(cells[4]).not.toBe('');
});

test('every code in the table of limits exists', () => {
  const told = limits.flatMap(([, , , above = '']) => above.match(/`\w+`/g) ?? []);
  expect(told.length).toBeGreaterThan(15);
  for (const code of told) expect(codes).toContain(code.replaceAll('`', ''));
});

test('the table of routes has exactly the paths that accept a POST', () => {
  const table = rowsOf(textOf('## Routes', '## '))
    .map((cells) => cells[1] ?? '')
    .join('\n');
  // A method counts up to the next one in its cell.
  const told = [...table.matchAll(/`POST (\/[^`]*)`((?:, `\/[^`]*`)*)/g)].flatMap(([, first = '', more = '']) => [
    first,
    ...[...more.matchAll(/`(\/[^`]*)`/g)].map(([, path = '']) => path),
  ]);
  expect(told.toSorted()).toEqual(ROUTES.map(({ path }) => path.replace(/\*(\w+)/, '{$1}')).toSorted());
});

const AGAIN: Readonly<Record<string, string>> = { never: 'no', as_sent: 'yes', by_caller: 'you decide' };

test('every field that is accepted without effect is listed', () => {
  const row = readme.split('\n').find((line) => line.includes('accepted without effect')) ?? '';
  for (const [name, { kind }] of columnOf('chat'))
    expect([name, row.includes(`\`${name}\``)]).toEqual([name, kind === 'ignored']);
});
