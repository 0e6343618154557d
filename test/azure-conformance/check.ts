import { request } from 'node:http';
import { z } from 'zod';
import { differences } from './match.ts';
import type { Places } from './places.ts';
import type { Recorded } from './recording-engine.ts';
import type { Check, Expected } from './rows.ts';
import type { Seen } from './seen.ts';
import { streamDifferences } from './streamed.ts';

const ANSWER_WITHIN_MS = 15_000;

/** Sends a row and compares. @returns each difference of the answer in a line; empty if the row is met */
export async function runCheck(check: Check, places: Places): Promise<string[]> {
  try {
    const { url } = await places.gateway(check.gateway);
    places.engine.answer = check.engine;
    places.engine.taken();
    const seen = await send(url, check, places.values);
    return [...answerDifferences(check.expect, seen), ...engineDifferences(check.expect, places.engine.taken())];
  } catch (error) {
    return [`could not be asked: ${String(error).replaceAll(/\s+/g, ' ').slice(0, 300)}`];
  }
}

function send(url: string, { method, path, headers, body, raw }: Check, values: Places['values']): Promise<Seen> {
  const filled = (text: string): string => text.replaceAll(/\$([A-Z]+)/g, (name, key) => values[String(key)] ?? name);
  const given: Record<string, string> = {
    'content-type': 'application/json',
    authorization: 'Bearer $KEY',
    ...headers,
  };
  const sent = Object.entries(given).filter(([, value]) => value !== '');
  const bytes = raw ?? (body === undefined ? undefined : filled(JSON.stringify(body)));
  return new Promise((resolve, reject) => {
    const out = request(url + path, {
      method,
      agent: false,
      headers: Object.fromEntries(sent.map(([name, value]) => [name, filled(value)])),
    });
    out.setTimeout(ANSWER_WITHIN_MS, () => out.destroy(new Error('no answer arrived')));
    out.on('error', reject);
    out.on('response', (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (piece: string) => (text += piece));
      res.on('error', () => {});
      res.on('close', () =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, text, isWhole: res.complete }),
      );
    });
    out.end(bytes);
  });
}

function answerDifferences(expected: Expected, seen: Seen): string[] {
  const { status, headers = {}, body, text, error, stream } = expected;
  const found = [...differences('status', status, seen.status), ...differences('headers', headers, seen.headers)];
  if (text !== undefined) found.push(...differences('text', text, seen.text));
  if (body !== undefined) found.push(...differences('body', body, parsed(seen.text)));
  if (error !== undefined) {
    const wanted = { error: { code: '<text>', message: '<text>', ...error } };
    found.push(...differences('body', wanted, parsed(seen.text)), ...codeDifferences(seen));
  }
  if (stream !== undefined) found.push(...streamDifferences(stream, seen));
  return found;
}

/** If the header exists, it agrees with the body (4.4). */
function codeDifferences({ headers, text }: Seen): string[] {
  const told = headers['x-ms-error-code'];
  return told === undefined ? [] : differences('body', { error: { code: told } }, parsed(text));
}

function engineDifferences({ engine }: Expected, taken: readonly Recorded[]): string[] {
  if (engine === undefined) return [];
  if (engine === 'nothing') return differences('engine.requests', 0, taken.length);
  const last = taken.at(-1);
  if (last === undefined) return ['engine: expected a request, seen none'];
  const { path = last.path, prompts, body = {} } = engine;
  return [
    ...differences('engine.path', path, last.path),
    ...(prompts === undefined
      ? []
      : differences(
          'engine.prompts',
          prompts,
          taken.flatMap((one) => one.prompts),
        )),
    ...differences('engine', z.record(z.string(), z.json()).parse(body), last.body),
  ];
}

/** The parsed JSON, or the text if it is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
