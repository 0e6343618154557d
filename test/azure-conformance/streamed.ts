import { z } from 'zod';
import { differences } from './match.ts';
import type { Expected } from './rows.ts';
import type { Seen } from './seen.ts';

const Chunk = z.looseObject({
  choices: z.array(z.looseObject({ delta: z.looseObject({ content: z.string().nullish() }) })),
  usage: z.json().optional(),
});

/** The differences between a stream of server-sent events and a row. */
export function streamDifferences(expected: NonNullable<Expected['stream']>, { text, isWhole }: Seen): string[] {
  const found: string[] = [];
  // Like the parser of azure-ai-inference 1.0.0b9: lines end with LF, each is `data: …` or empty.
  const strange = text.split('\n').find((line) => line !== '' && (!line.startsWith('data: ') || line.endsWith('\r')));
  if (expected.plain === true) found.push(...differences('stream.plain', '<absent>', strange));
  const events = text.split(/\r?\n/).flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
  const isDone = events.at(-1) === '[DONE]';
  const objects = events.filter((event) => event !== '[DONE]').map((event) => JSON.parse(event) as unknown);
  const last = z.looseObject({ error: z.json() }).safeParse(objects.at(-1));
  const ends = last.success && !events.includes('[DONE]') ? 'error' : isDone && isWhole ? 'done' : 'cut';
  found.push(...differences('stream.ends', expected.ends, ends));
  if (expected.error !== undefined) found.push(...differences('stream.error', expected.error, last.data?.error));
  if (expected.whole !== undefined) found.push(...differences('stream.whole', expected.whole, isWhole));

  const chunks = (last.success ? objects.slice(0, -1) : objects).map((object) => Chunk.parse(object));
  const content = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? '')).join('');
  if (expected.text !== undefined) found.push(...differences('stream.text', expected.text, content));
  if (expected.chunks !== undefined)
    for (const [index, chunk] of chunks.entries())
      found.push(...differences(`stream.chunks[${index}]`, expected.chunks, chunk));
  if (expected.usage !== undefined) {
    const closing = chunks.flatMap(({ choices }, index) => (choices.length === 0 ? [index] : []));
    const wanted = expected.usage === 'none' ? [] : [chunks.length - 1];
    found.push(...differences('stream.closingUsage', wanted, closing));
    if (expected.usage === 'last')
      found.push(...differences('stream.usage', { total_tokens: '<number>' }, chunks.at(-1)?.usage));
  }
  return found;
}
