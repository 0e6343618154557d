import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { WITHIN } from '../intake/engine-request.ts';
import { parseBody } from '../intake/json-structure.ts';
import type { PictureBytes } from '../intake/picture-bytes.ts';
import { ROLES, contentPath, type ChatMessage, type ChatRequest } from '../request/chat.ts';
import type { ConversationStore, Link } from './conversation-store.ts';
import { saying, type Items } from './items.ts';

/** Limit of responses before a request. */
const MOST_LINKS = 1_000;
const PREVIOUS = 'previous_response_id';
/** A reader may have the last event of a response before its owner has noted the end. How long to wait, in ms. */
const ENDS_WITHIN_MS = 1_000;
/** Another gateway perhaps has not noted the items yet. */
const KEPT_WITHIN_MS = 200;
const LOOK_MS = 50;

const Text = z.object({ type: z.literal('text'), text: z.string() });
const Picture = z.object({
  type: z.literal('image_url'),
  image_url: z.object({ url: z.string(), detail: z.string().exactOptional() }),
});
const Input = z.array(
  z.object({ role: z.enum(ROLES), content: z.union([z.string(), z.array(z.union([Text, Picture]))]) }),
);

/** What a response was asked, without what came before it. */
export type Input = Readonly<z.infer<typeof Input>>;

/** @param pictures get those of the input @throws Failure `invalid_json` for anything else */
export function readInput(bytes: Buffer, pictures: PictureBytes): Input {
  return Input.parse(parseBody(bytes, WITHIN, pictures, true));
}

/**
 * What is kept of a request.
 * @param own its messages, with their pictures as the caller named them @param resolved the same messages for an engine
 * @returns JSON in pieces
 */
export function inputOf(
  own: readonly ChatMessage[],
  resolved: readonly ChatMessage[],
  pictures: PictureBytes,
): readonly Buffer[] {
  const messages = own.map(({ role, content }, at) => ({
    role,
    content: withPictures(content, resolved[at]?.content),
  }));
  return pictures.join(JSON.stringify(messages));
}

function withPictures(
  own: ChatMessage['content'],
  resolved: ChatMessage['content'] | undefined,
): ChatMessage['content'] {
  if (typeof own === 'string' || own === null || typeof resolved === 'string' || !resolved) return own;
  return own.map((part, index) => (part.type === 'image_url' ? (resolved[index] ?? part) : part));
}

/** A request that named what came before it. */
export interface Joined {
  readonly request: ChatRequest;
  /** index of its first message that is its own */
  readonly own: number;
  /** the responses before it */
  readonly links: readonly Link[];
}

/** Who asks. */
interface Asker {
  readonly keyId: string;
  /** those of the request; get the earlier ones */
  readonly pictures: PictureBytes;
  /** fires when the client is gone */
  readonly signal: AbortSignal;
}

/** The conversation before a request, which it names instead of sending. */
export class Earlier {
  readonly #store: ConversationStore;
  readonly #items: Items;

  constructor(store: ConversationStore, items: Items) {
    this.#store = store;
    this.#items = items;
  }

  /**
   * Puts earlier responses, and items of answers, into a request that names them.
   * @throws Failure `previous_response_not_found`, `invalid_request`, naming the id; `overloaded`, `queue_unavailable`
   * @throws `signal.reason` if the client left first
   */
  async into(request: ChatRequest, asker: Asker): Promise<Joined> {
    const { keeping, messages, messagesParam } = request;
    const previous = keeping?.[PREVIOUS] ?? null;
    const references = messages.flatMap(({ reference }) => reference ?? []);
    if (previous === null && references.length === 0) return { request, own: 0, links: [] };
    const links = previous === null ? [] : await this.#chain(previous, asker);
    const earlier: ChatMessage[] = [];
    for (const link of links) earlier.push(...(await this.#said(link, asker)));
    const items = await this.#find([...new Set(references)], asker);
    // Refusals name places in the caller's own input.
    const own = messages.flatMap((message, at) =>
      message.reference === undefined
        ? { ...message, place: contentPath(messagesParam, message, at) }
        : itemOf(message, items, asker),
    );
    return { request: { ...request, messages: [...earlier, ...own] }, own: earlier.length, links };
  }

  /** A request that follows these responses is accepted: they are kept as long as its answer. @param deadlineMs of the request */
  async used({ links }: Joined, deadlineMs: number): Promise<void> {
    const used = ({ model, id, keptMs }: Link): Promise<void> => this.#store.used(model, id, keptMs + deadlineMs);
    await Promise.all(links.map((link) => used(link))).catch(unread);
  }

  /** The response and all before it, the oldest first. */
  async #chain(previous: string, asker: Asker): Promise<Link[]> {
    const links: Link[] = [];
    for (let id: string | null = previous; id !== null; id = links[0]?.previous ?? null) {
      if (links.length === MOST_LINKS)
        throw bad(PREVIOUS, ` has ${MOST_LINKS} responses before it, the most that are read`);
      links.unshift(await this.#link(id, asker));
    }
    return links;
  }

  async #link(id: string, { keyId, signal }: Asker): Promise<Link> {
    for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
      signal.throwIfAborted();
      const link = await this.#store.link(id, keyId).catch(unread);
      if (link === undefined) throw notFound(id);
      if (!link.hasInput) throw bad(PREVIOUS, `: ${named(id)} was made without store: true, or by an older gateway`);
      const { state } = link;
      if (state === 'completed' || state === 'incomplete') return link;
      const isOpen = state === 'queued' || state === 'running';
      if (!isOpen || waitedMs >= ENDS_WITHIN_MS)
        throw bad(PREVIOUS, `: ${named(id)} is ${state}; only a response that is over can be continued`);
      await pause(LOOK_MS);
    }
  }

  async #said({ model, id, inputBytes }: Link, { pictures, signal }: Asker): Promise<ChatMessage[]> {
    signal.throwIfAborted();
    take(pictures, inputBytes);
    const [input, said] = await Promise.all([this.#store.input(model, id), this.#store.said(model, id)]).catch(unread);
    if (input === undefined || said === undefined) throw notFound(id);
    take(pictures, said.length);
    // Each picture has a place of its own.
    const asked = readInput(input, pictures).map((message, at) => ({
      ...message,
      place: `${id}.input[${at}].content`,
    }));
    return [...asked, ...saying(said)];
  }

  async #find(ids: readonly string[], { keyId, signal }: Asker): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
      signal.throwIfAborted();
      const missing = ids.filter((id) => !found.has(id));
      const texts = await Promise.all(missing.map((id) => this.#items.find(keyId, id))).catch(unread);
      for (const [at, id] of missing.entries()) if (texts[at] !== undefined) found.set(id, texts[at]);
      if (found.size === ids.length || waitedMs >= KEPT_WITHIN_MS) return found;
      await pause(LOOK_MS);
    }
  }
}

function itemOf(
  { reference = '', place = '' }: ChatMessage,
  items: ReadonlyMap<string, string>,
  { pictures }: Asker,
): ChatMessage[] {
  const text = items.get(reference);
  if (text === undefined)
    throw bad(
      place,
      ' names an item that is not kept here, or no longer: send the message itself; clients do it with store: false',
    );
  take(pictures, text.length);
  return saying(text).map((message) => ({ ...message, place }));
}

/** @throws Failure `overloaded` */
function take({ memory }: PictureBytes, bytes: number): void {
  if (!memory.take(bytes))
    throw new Failure('overloaded', 'this gateway has no memory for the earlier conversation; try again');
}

function named(id: string): string {
  return JSON.stringify(id.slice(0, 100));
}

function bad(param: string, problem: string): Failure {
  return new Failure('invalid_request', `${param}${problem}`, { param });
}

function notFound(id: string): Failure {
  const message = `no response ${named(id)} is kept for this key, or no longer: send its conversation as input`;
  return new Failure('previous_response_not_found', message, { param: PREVIOUS });
}

/** @throws Failure `queue_unavailable` */
function unread(cause: unknown): never {
  throw new Failure('queue_unavailable', 'Redis does not give the earlier conversation at the moment; try again', {
    cause,
  });
}
