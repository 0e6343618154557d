import type { EnginePath } from '#contract/job';
import type { Members } from './engine/event-watch.ts';
import { choiceWords, finishedChoices, responsePiece, responseWords, type Words } from './engine/answer-words.ts';

/** One event of an engine. */
export interface HeldEvent {
  readonly name: string;
  readonly data: Buffer;
  /** its JSON; absent: the end mark */
  readonly members: Members | undefined;
}

/** One choice of the answer; a response is one. All positions are in characters (UTF-16 units). */
interface Choice {
  /** of all its texts together */
  length: number;
  /** up to here they were judged */
  judged: number;
  /** no further text will come */
  isFinished: boolean;
}

/** One text of a choice, which pieces make longer. */
interface Lane {
  readonly choice: Choice;
  text: string;
  /** up to here it was judged */
  judged: number;
  /** up to here the client may have it */
  free: number;
  /** the length of its choice when it became longer the last time */
  endsAt: number;
}

/** Texts that are judged now, and how far they and their choices reach. */
export interface Due {
  readonly texts: readonly string[];
  readonly reach: ReadonlyMap<Lane | Choice, number>;
}

/** The events that a client does not have yet, in order, and the texts that they make. */
export class HeldEvents {
  readonly #path: EnginePath;
  readonly #window: number;
  readonly #choices = new Map<number, Choice>();
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
    const choices = [...this.#choices.values()].filter(({ length, judged }) => length > judged);
    const isDue = choices.some(({ length, judged }) => isEnded || length - judged >= this.#window);
    if (!isDue) return undefined;
    const lanes = [...this.#lanes.values()].filter(({ text, judged }) => text.length > judged);
    return {
      texts: lanes.map(({ text, free }) => text.slice(Math.max(0, free - this.#window)).toWellFormed()),
      reach: new Map<Lane | Choice, number>([
        ...lanes.map((lane) => [lane, lane.text.length] as const),
        ...choices.map((choice) => [choice, choice.length] as const),
      ]),
    };
  }

  /** What was due is not blocked. @returns the events that the client may have now */
  cleared({ reach }: Due, isEnded: boolean): HeldEvent[] {
    this.#isJudged = true;
    for (const [one, end] of reach) one.judged = end;
    const isAll = isEnded && [...this.#choices.values()].every(({ length, judged }) => judged === length);
    for (const lane of this.#lanes.values())
      lane.free = Math.max(lane.free, lane.judged - (isAll ? 0 : this.#heldBack(lane)));
    return this.#take();
  }

  /** How much of a judged text waits for what follows it in its choice, which may be another text. */
  #heldBack({ text, judged, endsAt, choice }: Lane): number {
    if (judged < text.length) return this.#window;
    return choice.isFinished ? 0 : Math.max(0, this.#window - (choice.judged - endsAt));
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
    const ends = this.#lengthened(choiceWords(members));
    for (const index of finishedChoices(members)) this.#choice(index).isFinished = true;
    return ends;
  }

  /** Events without a piece repeat what pieces said before. Words that no piece said are a text of their own. */
  #ofResponse({ members }: HeldEvent): Map<Lane, number> {
    const piece = responsePiece(members);
    if (piece !== undefined) return this.#lengthened([piece]);
    const said = new Set([...this.#lanes.values()].map(({ text }) => text));
    const words = responseWords(members).filter(({ text }) => !said.has(text));
    // A word that the event says twice is one text.
    const texts = new Map(words.map((one) => [one.text, { ...one, lane: `only ${one.text}` }]));
    this.#lengthened([...texts.values()]);
    return new Map([...this.#lanes.values()].map((lane) => [lane, lane.text.length]));
  }

  #lengthened(words: readonly Words[]): Map<Lane, number> {
    const ends = new Map<Lane, number>();
    for (const { choice: index, lane: name, text } of words) {
      const choice = this.#choice(index);
      const lane = this.#lanes.get(name) ?? { choice, text: '', judged: 0, free: 0, endsAt: 0 };
      this.#lanes.set(name, lane);
      lane.text += text;
      choice.length += text.length;
      lane.endsAt = choice.length;
      ends.set(lane, lane.text.length);
    }
    return ends;
  }

  #choice(index: number): Choice {
    const choice = this.#choices.get(index) ?? { length: 0, judged: 0, isFinished: false };
    this.#choices.set(index, choice);
    return choice;
  }
}
