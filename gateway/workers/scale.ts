import { KINDS, type Kind } from '#contract/job';
import type { WorkerReport } from '#contract/registry';

/** Requests by kind: waiting ones, running ones, or free slots. */
type Load = Readonly<Record<Kind, number>>;

/** Engines of one worker of each pool, by model; configured, because a pool at zero workers reports nothing. */
export type Pools = Readonly<Record<string, Readonly<Record<string, PoolModel>>>>;
interface PoolModel {
  /** engines of the model on one worker */
  readonly engines: number;
  /** requests that one engine works on at a time; absent: as the workers report, or without workers as the card says */
  readonly text?: number | undefined;
  readonly image?: number | undefined;
}

export interface ScaleDeps {
  readonly pools: Pools;
  /** requests that one engine works on at a time, by the model's card; undefined for a model without card */
  readonly slotsOf: (model: string) => Load | undefined;
  readonly workers: () => readonly WorkerReport[];
  /** requests that no worker has taken */
  readonly waiting: (model: string, kind: Kind) => Promise<number>;
}

/** @throws Error that names a pool's model without a card */
export function checkPools(pools: Pools, models: readonly string[]): void {
  for (const [pool, served] of Object.entries(pools))
    for (const model of Object.keys(served))
      if (!models.includes(model))
        throw new Error(`GATEWAY_POOLS: pool ${pool} serves ${model}, but no card has that name`);
}

const NOTHING: Load = { text: 0, image: 0 };

/**
 * How many workers a pool needs for the waiting and running requests, by the slots of one worker. All pools of a model
 * share its waiting requests. Running requests of a leaving worker end there.
 * @returns undefined for a pool that is neither configured nor seen
 * @throws what `waiting` throws: an autoscaler must not take an outage for an idle queue
 */
export async function workersWanted(pool: string, deps: ScaleDeps): Promise<number | undefined> {
  const staying = deps.workers().filter(({ draining }) => !draining);
  const told = deps.pools[pool] ?? {};
  const models = new Set([...Object.keys(told), ...modelsOf(pool, staying)]);
  if (models.size === 0) return deps.pools[pool] === undefined ? undefined : 0;

  let wanted = 0;
  for (const model of models) {
    const sharers = poolsServing(model, deps.pools, staying);
    const room = roomOfOne(pool, model, told[model], staying, deps.slotsOf(model) ?? NOTHING);
    const running = sum(engineLoads(pool, model, staying, 'inFlight'));
    for (const kind of KINDS) {
      const demand = (await deps.waiting(model, kind)) / sharers + running[kind];
      // A worker without known slots counts as able to take any demand.
      if (demand > 0) wanted = Math.max(wanted, room[kind] > 0 ? demand / room[kind] : 1);
    }
  }
  return Math.ceil(wanted);
}

function roomOfOne(
  pool: string,
  model: string,
  told: PoolModel | undefined,
  workers: readonly WorkerReport[],
  slots: Load,
): Load {
  const launchers = new Map<string, Load>();
  for (const worker of workers.filter((one) => one.pool === pool)) {
    const id = `${worker.node}/${worker.launcherPid}`;
    launchers.set(id, sum([launchers.get(id) ?? NOTHING, ...engineLoads(pool, model, [worker], 'slots')]));
  }
  const room = (kind: Kind): number => {
    const declared = told?.[kind];
    if (told !== undefined && declared !== undefined) return told.engines * declared;
    const measured = Math.max(0, ...[...launchers.values()].map((load) => load[kind]));
    return measured > 0 ? measured : (told?.engines ?? 0) * slots[kind];
  };
  return { text: room('text'), image: room('image') };
}

function poolsServing(model: string, pools: Pools, workers: readonly WorkerReport[]): number {
  const told = Object.keys(pools).filter((pool) => pools[pool]?.[model] !== undefined);
  const seen = workers.map(({ pool }) => pool).filter((pool) => modelsOf(pool, workers).includes(model));
  return Math.max(1, new Set([...told, ...seen]).size);
}

function modelsOf(pool: string, workers: readonly WorkerReport[]): string[] {
  return workers.filter((worker) => worker.pool === pool).flatMap(({ engines }) => engines.map(({ model }) => model));
}

function engineLoads(
  pool: string,
  model: string,
  workers: readonly WorkerReport[],
  what: 'slots' | 'inFlight',
): Load[] {
  return workers
    .filter((worker) => worker.pool === pool)
    .flatMap(({ engines }) => engines.filter((engine) => engine.model === model).map((engine) => engine[what]));
}

function sum(loads: readonly Load[]): Load {
  return loads.reduce((all, one) => ({ text: all.text + one.text, image: all.image + one.image }), NOTHING);
}
