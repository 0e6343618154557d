import type { EnginePath } from '#contract/job';
import type { Members } from './engine/event-watch.ts';
import { choiceWords, responsePiece, responseWords, type Words } from './engine/answer-words.ts';

/** One event of an engine. */
export interface HeldEvent {
  readonly name: string;
  readonly data: Buffer;
  /** its JSON; absent: the end mark */
  readonly members: Members | undefined;
}

/** One text of the answer, which pieces make longer. All positions are in characters (UTF-16 units). */
interface Lane {
  text: string;
  /** up to here it was judged */
  judged: number;
  /** up to here the client may have it */
  free: number;
}

/** Texts that are judged now, and how far they reach. */
export interface Due {
  readonly texts: readonly string[];
  readonly reach: ReadonlyMap<Lane, number>;
}

/** The events that a client does not have yet, in order, and the texts that they make. */
export class HeldEvents {
  readonly #path: EnginePath;
  readonly #window: number;
  readonly #lanes = new Map<string, Lane>();
  #queue: { readonly event: HeldEvent; readonly ends: ReadonlyMap<Lane, number> }[] = [];
  #bytes = 0;
  /** before the first verdict, not even an event without words passes, so that a failure can still be an HTTP status */
  #isJudged = false;

  constructor(path: EnginePath, windowCharacters: number) {
    this.#path = path;
    this.#window = windowCharacters;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(event: HeldEvent): void {
    this.#bytes += event.data.length;
    this.#queue.push({
      event,
      ends: this.#path === '/v1/responses' ? this.#ofResponse(event) : this.#ofChoices(event),
    });
  }

  /** The texts that are to be judged now. @param isEnded no further text will come */
  due(isEnded: boolean): Due | undefined {
    const lanes = [...this.#lanes.values()].filter(({ text, judged }) => text.length > judged);
    const isDue = lanes.some(({ text, judged }) => isEnded || text.length - judged >= this.#window);
    if (!isDue) return undefined;
    return {
      texts: lanes.map(({ text, free }) => text.slice(Math.max(0, free - this.#window)).toWellFormed()),
      reach: new Map(lanes.map((lane) => [lane, lane.text.length])),
    };
  }

  /** What was due is not blocked. @returns the events that the client may have now */
  cleared({ reach }: Due, isEnded: boolean): HeldEvent[] {
    this.#isJudged = true;
    for (const [lane, end] of reach) lane.judged = end;
    const isAll = isEnded && [...this.#lanes.values()].every(({ text, judged }) => judged === text.length);
    for (const lane of this.#lanes.values())
      lane.free = isAll ? lane.judged : Math.max(lane.free, lane.judged - this.#window);
    return this.#take();
  }

  /** The events at the front, up to the first with a word that the client must not have. */
  wordless(): HeldEvent[] {
    this.#isJudged = true;
    return this.#take();
  }

  /** All events that are left. */
  all(): HeldEvent[] {
    const all = this.#queue.map(({ event }) => event);
    this.#queue = [];
    this.#bytes = 0;
    return all;
  }

  #take(): HeldEvent[] {
    if (!this.#isJudged) return [];
    const until = this.#queue.findIndex(({ ends }) => [...ends].some(([lane, end]) => end > lane.free));
    const taken = this.#queue.splice(0, until === -1 ? this.#queue.length : until);
    for (const { event } of taken) this.#bytes -= event.data.length;
    return taken.map(({ event }) => event);
  }

  #ofChoices({ members }: HeldEvent): Map<Lane, number> {
    return this.#lengthened(choiceWords(members));
  }

  /** Events without a piece repeat what pieces said before. Words that no piece said are a text of their own. */
  #ofResponse({ members }: HeldEvent): Map<Lane, number> {
    const piece = responsePiece(members);
    if (piece !== undefined) return this.#lengthened([piece]);
    const said = new Set([...this.#lanes.values()].map(({ text }) => text));
    const words = responseWords(members).filter(({ text }) => !said.has(text));
    this.#lengthened(words.map(({ text }) => ({ lane: `only ${text}`, text })));
    return new Map([...this.#lanes.values()].map((lane) => [lane, lane.text.length]));
  }

  #lengthened(words: readonly Words[]): Map<Lane, number> {
    const ends = new Map<Lane, number>();
    for (const { lane: name, text } of words) {
      const lane = this.#lanes.get(name) ?? { text: '', judged: 0, free: 0 };
      this.#lanes.set(name, lane);
      lane.text += text;
      ends.set(lane, lane.text.length);
    }
    return ends;
  }
}
