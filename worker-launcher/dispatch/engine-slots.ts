import type { Pool } from 'undici';
import type { Kind } from '#contract/job';
import type { EngineReport } from '#contract/registry';
import { connectTo, sameAddress } from '../engine/address.ts';
import { AnswerRecord } from '../engine/answer-record.ts';
import { promptWeight, type Intake } from '../engine/pace.ts';
import { FirstBytes, type Waiting } from './first-bytes.ts';
import { addressOf, type EngineEntry } from './link.ts';

/** A place on an engine, held by one attempt. */
export interface Slot {
  readonly engine: string;
  readonly pool: Pool;
  /** a request of so many bytes is sent to it */
  begin(bytes: number): Waiting;
  release(): void;
}

interface Engine {
  entry: EngineEntry;
  readonly pool: Pool;
  readonly inFlight: Record<Kind, number>;
  readonly record: AnswerRecord;
  readonly firstBytes: FirstBytes;
  usedAt: number;
}

/** Which engines of this dispatcher have room; text and image places are counted apart. */
export class EngineSlots {
  readonly #engines = new Map<string, Engine>();
  readonly #onChange: () => void;

  /** @param onChange called after each taken or released slot */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Takes over what the launcher knows. A restarted engine gets fresh connections; requests on the old ones fail. */
  update(entries: readonly EngineEntry[]): void {
    const kept = new Set(entries.map((entry) => entry.id));
    for (const [id, engine] of this.#engines) if (!kept.has(id)) this.#drop(id, engine);
    for (const entry of entries) {
      const known = this.#engines.get(entry.id);
      if (known?.entry.pid === entry.pid && sameAddress(addressOf(known.entry), addressOf(entry))) {
        known.entry = entry;
        continue;
      }
      if (known !== undefined) this.#drop(entry.id, known);
      this.#engines.set(entry.id, {
        entry,
        pool: connect(entry),
        inFlight: { text: 0, image: 0 },
        record: new AnswerRecord(),
        firstBytes: new FirstBytes(),
        usedAt: -Infinity,
      });
    }
  }

  /** A connection failed: nothing more goes there until the launcher has looked at it. */
  suspect(id: string): void {
    const engine = this.#engines.get(id);
    if (engine !== undefined && engine.entry.state === 'ready') engine.entry = { ...engine.entry, state: 'suspect' };
  }

  /** Places of all ready engines of a model, taken or free. */
  room(model: string, kind: Kind): number {
    let room = 0;
    for (const { entry } of this.#engines.values())
      if (entry.model === model && entry.state === 'ready') room += entry.slots[kind];
    return room;
  }

  /** An answer of an engine failed, or is whole. @returns whether that is worth telling */
  answered(id: string, status: number): boolean {
    return this.#engines.get(id)?.record.answered(status, performance.now()) ?? false;
  }

  /** by engine id */
  intakes(): Record<string, Intake> {
    return Object.fromEntries([...this.#engines].map(([id, { firstBytes }]) => [id, firstBytes.report]));
  }

  /**
   * @returns a place on the emptiest ready engine, or undefined when all are full. One that failed lately comes after all
   * others: it answers fastest, and would be the emptiest for ever. Among equals the one that was longest unused
   * @param spared none that failed or refused lately: another dispatcher may have a better one
   */
  take(model: string, kind: Kind, spared = false): Slot | undefined {
    const now = performance.now();
    const [best] = [...this.#engines.values()]
      .filter(
        ({ entry, inFlight }) => entry.model === model && entry.state === 'ready' && inFlight[kind] < entry.slots[kind],
      )
      .map((engine) => ({ engine, failures: failuresOf(engine, spared, now), load: loadOf(engine) }))
      .toSorted((a, b) => a.failures - b.failures || a.load - b.load || a.engine.usedAt - b.engine.usedAt);
    if (best === undefined || (spared && best.failures > 0)) return undefined;
    const { engine } = best;
    const { inFlight, entry, pool, firstBytes } = engine;
    engine.usedAt = now;
    inFlight[kind] += 1;
    this.#onChange();
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      inFlight[kind] -= 1;
      this.#onChange();
    };
    const begin = (bytes: number): Waiting => firstBytes.begin(promptWeight(kind, bytes));
    return { engine: entry.id, pool, begin, release };
  }

  reports(): EngineReport[] {
    return [...this.#engines.values()].map(({ entry, inFlight }) => ({ ...entry, inFlight: { ...inFlight } }));
  }

  models(): string[] {
    return [...new Set([...this.#engines.values()].map(({ entry }) => entry.model))];
  }

  #drop(id: string, engine: Engine): void {
    this.#engines.delete(id);
    void engine.pool.destroy();
  }
}

/** What an engine refused may be its callers' doing: that keeps repeats from it alone. */
const failuresOf = ({ record }: Engine, spared: boolean, now: number): number =>
  record.failures(now) + (spared ? record.refusals(now) : 0);
const loadOf = ({ entry, inFlight }: Engine): number =>
  load1(inFlight.text, entry.slots.text) + load1(inFlight.image, entry.slots.image);
const load1 = (inFlight: number, slots: number): number => (slots === 0 ? 0 : inFlight / slots);

/** Idle connections are closed before the engine closes them: vLLM's keep-alive is 5 s unless it was raised. */
function connect(entry: EngineEntry): Pool {
  return connectTo(addressOf(entry), {
    connections: entry.slots.text + entry.slots.image,
    pipelining: 1,
    keepAliveTimeout: 4_000,
    keepAliveMaxTimeout: 4_000,
  });
}
