import { Failure } from '../failure.ts';

const TAG_CHARACTERS = 8;
const EVENT_ID = new RegExp(`^([0-9a-f]{${TAG_CHARACTERS}})-(\\d{1,9})$`);

/** @param id of a durable answer @returns the part of it that its events' ids begin with */
function tagOf(id: string): string {
  return id.slice(id.indexOf('_') + 1).slice(0, TAG_CHARACTERS);
}

/** @returns tag and number of the event; undefined for a text that is no id of an event */
function readEventId(text: string): { readonly tag: string; readonly number: number } | undefined {
  const [, tag, number] = EVENT_ID.exec(text) ?? [];
  return tag === undefined ? undefined : { tag, number: Number(number) };
}

/**
 * @param hasIds whether its client gets ids
 * @returns the number of the last event that the client has; -1: none
 * @throws Failure `invalid_request` for another stream's event
 */
export function eventAfter(lastEventId: string | undefined, id: string, hasIds: boolean): number {
  if (lastEventId === undefined) return -1;
  const read = readEventId(lastEventId);
  if (!hasIds || read === undefined || read.tag !== tagOf(id))
    throw new Failure('invalid_request', 'last-event-id is not an event of the stream that has this idempotency key', {
      param: 'last-event-id',
    });
  return read.number;
}

/**
 * Gives each event of a stream an `id:` line, and drops those that its reader has. Comments have none, and no empty line:
 * openai-python fails at an empty line after which no event follows, once it saw an id.
 */
export class EventIds {
  readonly #tag: string;
  readonly #after: number;
  #count = 0;

  /** @param after number of the last event that the reader has; -1: none */
  constructor(id: string, after: number) {
    this.#tag = tagOf(id);
    this.#after = after;
  }

  /** number of the last event, whether the reader had it or gets it; -1: none */
  get highest(): number {
    return this.#count - 1;
  }

  /** @param events complete events and comments */
  pass(events: Buffer | string): string {
    let passed = '';
    for (const event of events.toString().split(/(?<=\n\n)/)) {
      if (event.startsWith(':')) passed += event.slice(0, -1);
      else {
        if (this.#count > this.#after) passed += `id: ${this.#tag}-${this.#count}\n${event}`;
        this.#count += 1;
      }
    }
    return passed;
  }
}
