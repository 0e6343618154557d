import { z } from 'zod';
import type { ClientStream } from '../answer/client-stream.ts';
import { parseJson, parseText } from '../answer/engine/sse.ts';
import type { Rendered } from '../answer/renderers.ts';
import { TranslatedClient } from '../answer/translated.ts';
import type { ChatMessage } from '../request/chat.ts';
import type { ConversationStore } from './conversation-store.ts';
import { LastEvent } from './last-event.ts';
import type { KeptRequest } from './record.ts';

const Said = z.union([
  z.looseObject({ type: z.literal('output_text'), text: z.string() }).transform(({ text }) => text),
  z.looseObject({ type: z.literal('refusal'), refusal: z.string() }).transform(({ refusal }) => refusal),
  z.unknown().transform(() => ''),
]);
const LAST_EVENTS = ['event: response.completed', 'event: response.incomplete'];
const Output = z.object({
  output: z.array(z.object({ id: z.string().min(1), type: z.string(), content: z.array(Said).catch([]) })),
});

/** The items of a response, and the text of each; a message alone has one. @param response as JSON */
function itemsOf(response: Buffer | string): { readonly id: string; readonly text: string }[] {
  const json = typeof response === 'string' ? parseText(response) : parseJson(response);
  const items = Output.safeParse(json).data?.output ?? [];
  return items.map(({ id, type, content }) => ({ id, text: type === 'message' ? content.join('') : '' }));
}

/** @param response as JSON */
export function itemIds(response: string): string[] {
  return itemsOf(response).map(({ id }) => id);
}

/** What an item adds to a conversation. A text, because vLLM reads only the first part of an assistant's message. */
export function saying(text: string): ChatMessage[] {
  return text === '' ? [] : [{ role: 'assistant', content: text }];
}

/** The text of a response. @param response as JSON */
function saidIn(response: string): string {
  return itemsOf(response)
    .map(({ text }) => text)
    .join('');
}

/** Whose items. */
interface Whose {
  readonly model: string;
  readonly keyId: string;
}

/** The items of answers, which later requests may name by their ids instead of sending them. */
export class Items {
  readonly #store: ConversationStore;
  readonly #models: readonly string[];
  readonly #ttlMs: number;

  /** @param ttlMs how long they are kept; 0: not */
  constructor(store: ConversationStore, models: readonly string[], ttlMs: number) {
    this.#store = store;
    this.#models = models;
    this.#ttlMs = ttlMs;
  }

  /** Keeps the items of a complete response. @param response as JSON @param lifeMs longer than usual, in ms */
  keep({ model, keyId }: Whose, response: Buffer | string, lifeMs = this.#ttlMs): void {
    if (this.#ttlMs === 0) return;
    for (const { id, text } of itemsOf(response))
      // An answer must not fail with them.
      void this.#store.keepItem({ model, keyId, id }, text, Math.max(lifeMs, this.#ttlMs)).catch(() => {});
  }

  /** Keeps what later requests may name of a complete response. @returns true @throws while Redis is away */
  async keepWords(id: string, kept: KeptRequest, response: string): Promise<true> {
    const { model, hasItems, inputBytes, keptMs } = kept;
    if (hasItems === true) this.keep(kept, response, keptMs);
    if (inputBytes !== undefined) await this.#store.keepSaid(model, id, saidIn(response), keptMs);
    return true;
  }

  /** @returns the client; the items of what is written to it are kept */
  keeping(client: ClientStream, whose: Whose): ClientStream {
    return this.#ttlMs === 0 ? client : new ItemsClient(client, (response) => this.keep(whose, response));
  }

  /** @returns the text of an item; undefined: it is not kept for this key @throws while Redis is away */
  async find(keyId: string, id: string): Promise<string | undefined> {
    for (const model of this.#models) {
      const text = await this.#store.item({ model, keyId, id });
      if (text !== undefined) return text;
    }
    return undefined;
  }

  /** @param ids of items */
  async drop({ model, keyId }: Whose, ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.#store.dropItem({ model, keyId, id });
  }
}

/** A client whose complete answer is noticed before it has it: it may name the items in the next moment. */
class ItemsClient extends TranslatedClient {
  readonly #keep: (response: Buffer | string) => void;

  constructor(client: ClientStream, keep: (response: Buffer | string) => void) {
    super(client, (events) => {
      if (LAST_EVENTS.some((name) => events.includes(name))) {
        const last = new LastEvent();
        last.write(events);
        if (last.response !== undefined) keep(last.response.json);
      }
      return events;
    });
    this.#keep = keep;
  }

  override send(answer: Rendered): void {
    this.#keep(answer.body);
    super.send(answer);
  }
}
