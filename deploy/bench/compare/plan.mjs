// @ts-check
/** Below this number of cores, the kernel places the processes better than a fixed plan does. */
const FEWEST_CORES_TO_PIN = 4;

/**
 * Which cores a process gets. The load generator and the engine get a core each. Each process of the gateway gets one of the
 * others, from the first one again if there are too few.
 * @param {readonly number[]} cores that this machine allows
 * @returns {{ generator: number | null, engine: number | null, gateway: (index: number) => number | null }} null: not pinned
 */
export function pinningPlan(cores) {
  const [generator, engine, ...rest] = cores;
  if (generator === undefined || engine === undefined || cores.length < FEWEST_CORES_TO_PIN)
    return { generator: null, engine: null, gateway: () => null };
  return { generator, engine, gateway: (index) => rest[index % rest.length] ?? null };
}

/**
 * @typedef {object} Step one start of one peer, under all loads
 * @property {number} round from 1 on
 * @property {string} peer
 */

/**
 * Two rounds, the second one in the opposite order, so that a slow drift of the machine does not favour a peer.
 * @param {readonly string[]} peers
 * @returns {Step[]}
 */
export function steps(peers) {
  return [...peers.map((peer) => ({ round: 1, peer })), ...peers.toReversed().map((peer) => ({ round: 2, peer }))];
}

/**
 * The steps of one part of a run.
 * @template T
 * @param {readonly T[]} all
 * @param {string} part `n/m`, n from 1 to m
 * @returns {T[]}
 * @throws Error if the text names no part
 */
export function partOf(all, part) {
  const [n, m] = (/^(\d+)\/(\d+)$/.exec(part) ?? []).slice(1).map(Number);
  if (n === undefined || m === undefined || n < 1 || n > m)
    throw new Error(`--part is ${part}: write it as n/m, with n from 1 to m, for example 1/3`);
  const size = all.length / m;
  return all.slice(Math.round((n - 1) * size), Math.round(n * size));
}
