import type { Kind } from '#contract/job';
import type { EngineReport } from '#contract/registry';
import { sameAddress } from '../engine/address.ts';
import { AnswerRecord } from '../engine/answer-record.ts';
import { EngineConnections } from '../engine/connections.ts';
import { promptWeight, type Intake } from '../engine/pace.ts';
import { FirstBytes, type Waiting } from './first-bytes.ts';
import { addressOf, type EngineEntry } from './link.ts';

/** A slot of an engine, held by one attempt. */
export interface Slot {
  readonly engine: string;
  /** name of the engine's present life; it ends when a connection of the engine fails */
  readonly life: string;
  readonly connections: EngineConnections;
  /** call it when a request of `bytes` is sent to the engine */
  begin(bytes: number): Waiting;
  release(): void;
}

/** How busy the emptiest engine is, in shares of its slots. */
export interface Loads {
  /** before each of the next jobs; fewer than asked for if there are not so many free slots */
  readonly levels: readonly number[];
  /** what one job adds */
  readonly step: number;
}

/** A recent failure counts as this many full engines: all that have none come first, also those of other dispatchers. */
const FAILURE_LOAD = 10;

interface Engine {
  entry: EngineEntry;
  readonly connections: EngineConnections;
  readonly inFlight: Record<Kind, number>;
  readonly record: AnswerRecord;
  readonly firstBytes: FirstBytes;
  usedAt: number;
  /** how often its connections failed and a probe found it well again */
  failures: number;
}

/** Which engines of this dispatcher have free slots; text and image slots are counted separately. */
export class EngineSlots {
  readonly #engines = new Map<string, Engine>();
  readonly #onChange: () => void;

  /** @param onChange called after each taken or released slot */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Applies the launcher's list. A restarted engine gets new connections; requests on the old ones fail. */
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
        connections: new EngineConnections(addressOf(entry)),
        inFlight: { text: 0, image: 0 },
        record: new AnswerRecord(),
        firstBytes: new FirstBytes(),
        usedAt: -Infinity,
        failures: 0,
      });
    }
  }

  /** A connection failed: the engine gets no more requests until the launcher has probed it. */
  suspect(id: string): void {
    const engine = this.#engines.get(id);
    if (engine?.entry.state !== 'ready') return;
    engine.entry = { ...engine.entry, state: 'suspect' };
    engine.failures += 1;
  }

  /** Number of ready engines of a model. */
  ready(model: string): number {
    return [...this.#engines.values()].filter(({ entry }) => entry.model === model && entry.state === 'ready').length;
  }

  /** Slots of all ready engines of a model, taken or free. */
  room(model: string, kind: Kind): number {
    let room = 0;
    for (const { entry } of this.#engines.values())
      if (entry.model === model && entry.state === 'ready') room += entry.slots[kind];
    return room;
  }

  /** An answer of an engine failed, or is complete. @returns whether it is worth a report */
  answered(id: string, status: number): boolean {
    return this.#engines.get(id)?.record.answered(status, performance.now()) ?? false;
  }

  /** by engine id */
  intakes(): Record<string, Intake> {
    return Object.fromEntries([...this.#engines].map(([id, { firstBytes }]) => [id, firstBytes.report]));
  }

  /**
   * @returns a slot of the emptiest ready engine, or undefined if all are full. Engines with recent failures come last,
   * because a failing engine answers fastest and would always be the emptiest. Among equals: the least recently used
   * @param spared no engine with recent failures or refusals: another dispatcher may have a better one
   */
  take(model: string, kind: Kind, spared = false): Slot | undefined {
    const now = performance.now();
    const [best] = this.#open(model, kind)
      .map((engine) => ({ engine, failures: failuresOf(engine, spared, now), load: loadOf(engine) }))
      .toSorted((a, b) => a.failures - b.failures || a.load - b.load || a.engine.usedAt - b.engine.usedAt);
    if (best === undefined || (spared && best.failures > 0)) return undefined;
    const { engine } = best;
    const { inFlight, entry, connections, firstBytes } = engine;
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
    const life = `${entry.id}/${entry.pid ?? 0}/${engine.failures}`;
    return { engine: entry.id, life, connections, begin, release };
  }

  /** What other dispatchers learn of the emptiest ready engine. @param most number of next jobs */
  loads(model: string, kind: Kind, most: number): Loads {
    const now = performance.now();
    const open = this.#open(model, kind).map((engine) => ({
      level: failuresOf(engine, false, now) * FAILURE_LOAD + loadOf(engine),
      step: 1 / engine.entry.slots[kind],
      free: engine.entry.slots[kind] - engine.inFlight[kind],
    }));
    const levels: number[] = [];
    let first: number | undefined;
    while (levels.length < most) {
      const [emptiest] = open.filter(({ free }) => free > 0).toSorted((a, b) => a.level - b.level);
      if (emptiest === undefined) break;
      first ??= emptiest.step;
      levels.push(emptiest.level);
      emptiest.level += emptiest.step;
      emptiest.free -= 1;
    }
    return { levels, step: first ?? 0 };
  }

  reports(): EngineReport[] {
    return [...this.#engines.values()].map(({ entry, inFlight }) => ({ ...entry, inFlight: { ...inFlight } }));
  }

  models(): string[] {
    return [...new Set([...this.#engines.values()].map(({ entry }) => entry.model))];
  }

  /** Ready engines with a free slot. */
  #open(model: string, kind: Kind): Engine[] {
    return [...this.#engines.values()].filter(
      ({ entry, inFlight }) => entry.model === model && entry.state === 'ready' && inFlight[kind] < entry.slots[kind],
    );
  }

  #drop(id: string, engine: Engine): void {
    this.#engines.delete(id);
    engine.connections.destroy();
  }
}

/** Callers may have caused refusals, so these count only for retries. */
const failuresOf = ({ record }: Engine, spared: boolean, now: number): number =>
  record.failures(now) + (spared ? record.refusals(now) : 0);
const loadOf = ({ entry, inFlight }: Engine): number =>
  load1(inFlight.text, entry.slots.text) + load1(inFlight.image, entry.slots.image);
const load1 = (inFlight: number, slots: number): number => (slots === 0 ? 0 : inFlight / slots);
