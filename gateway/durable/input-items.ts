import { Failure } from '../failure.ts';
import type { Allowance } from '../intake/body-memory.ts';
import { PictureBytes } from '../intake/picture-bytes.ts';
import type { ConversationStore } from './conversation-store.ts';
import { readInput, type Input } from './earlier.ts';
import type { AnswerRecord } from './record.ts';

/** A part of a list, as OpenAI's API has it. */
export interface Page {
  /** 1 to 100 */
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  /** id of the item before the first one */
  readonly after: string | undefined;
}

/**
 * What a kept response was asked, without what came before it.
 * @returns the list as JSON in pieces @throws Failure `answer_not_found` if it is not kept, `invalid_request` for an `after`
 * that is no item, `overloaded`, `queue_unavailable`
 */
export async function inputItems(
  store: Pick<ConversationStore, 'input'>,
  { id, record }: { readonly id: string; readonly record: AnswerRecord },
  { limit, order, after }: Page,
  memory: Allowance,
): Promise<readonly Buffer[]> {
  // As read, and as written.
  if (!memory.take(2 * (record.asked.inputBytes ?? 0)))
    throw new Failure('overloaded', 'this gateway has no memory for the list at the moment; try again');
  const bytes = await store.input(record.asked.model, id).catch((cause: unknown) => {
    throw new Failure('queue_unavailable', 'Redis does not give it at the moment; try again', { cause });
  });
  if (bytes === undefined)
    throw new Failure(
      'answer_not_found',
      'what this response was asked is not kept: it was made without store: true, is not complete, or Redis lost it',
    );
  const pictures = new PictureBytes();
  const all = readInput(bytes, pictures).map((message, at) => itemOf(`msg_${id.slice('resp_'.length)}_${at}`, message));
  if (order === 'desc') all.reverse();
  const from = after === undefined ? 0 : all.findIndex((item) => item.id === after) + 1;
  if (after !== undefined && from === 0)
    throw new Failure('invalid_request', 'after must be the id of an item of this list', { param: 'after' });
  const data = all.slice(from, from + limit);
  const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
  return pictures.join(JSON.stringify({ object: 'list', data, ...ends, has_more: from + limit < all.length }));
}

function itemOf(id: string, { role, content }: Input[number]) {
  const type = role === 'assistant' ? 'output_text' : 'input_text';
  const parts = typeof content === 'string' ? [{ type: 'text', text: content } as const] : content;
  return {
    id,
    type: 'message',
    role,
    status: 'completed',
    content: parts.map((part) =>
      part.type === 'text'
        ? { type, text: part.text, ...(type === 'output_text' ? { annotations: [] } : {}) }
        : { type: 'input_image', image_url: part.image_url.url, detail: part.image_url.detail ?? 'auto' },
    ),
  };
}
