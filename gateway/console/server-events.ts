/** A part of a stream: the data of an event, or a comment. */
export type ServerEvent = { readonly data: string } | { readonly comment: string };

/**
 * Reads server-sent events (WHATWG HTML, 9.2) as Penstock writes them: it ends lines with a line feed, and gives an event
 * data alone.
 */
export class EventReader {
  #rest = '';
  #data: string[] = [];

  /** @returns what is complete by now */
  push(text: string): ServerEvent[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.flatMap((line) => this.#take(line));
  }

  /** characters of an event that is not complete */
  get held(): number {
    return this.#rest.length + this.#data.reduce((sum, { length }) => sum + length, 0);
  }

  #take(line: string): ServerEvent[] {
    if (line.startsWith(':')) return [{ comment: line.slice(1).trim() }];
    if (line.startsWith('data:')) this.#data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
    if (line !== '' || this.#data.length === 0) return [];
    const data = this.#data.join('\n');
    this.#data = [];
    return [{ data }];
  }
}

/**
 * Follows the events of a response.
 * @param mostHeld characters that one event may have
 * @throws Error if an event is larger, or the connection breaks
 */
export async function* eventsOf(response: Response, mostHeld: number): AsyncGenerator<ServerEvent> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const [decoder, events] = [new TextDecoder(), new EventReader()];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* events.push(decoder.decode(value, { stream: true }));
      if (events.held > mostHeld) throw new Error('an event of the gateway is too large');
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
