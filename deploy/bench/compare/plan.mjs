// @ts-check
/** Below this number of cores, the kernel places the processes better than a fixed plan does. */
const FEWEST_CORES_TO_PIN = 4;
/** More cores than these were never needed by the callers, or by the engine. */
const MOST_FOR_LOAD_SIDE = 6;
/** Processes of Penstock, which has the most of all gateways. */
const PROCESSES = 5;

/**
 * Which cores a process gets. Each process of the gateway gets one core, from the first one again if there are too few. The
 * callers and the engine share the others in halves, so that they do not limit the gateway.
 * @typedef {object} Plan
 * @property {readonly number[] | null} callers null: not pinned
 * @property {readonly number[] | null} engine
 * @property {(index: number) => readonly number[] | null} gateway
 *
 * @param {readonly number[]} cores that this machine allows
 * @param {number} [processes] of the gateway
 * @returns {Plan}
 */
export function pinningPlan(cores, processes = PROCESSES) {
  if (cores.length < FEWEST_CORES_TO_PIN) return { callers: null, engine: null, gateway: () => null };
  const each = Math.min(MOST_FOR_LOAD_SIDE, Math.max(1, Math.floor((cores.length - processes) / 2)));
  const rest = cores.slice(2 * each);
  return {
    callers: cores.slice(0, each),
    engine: cores.slice(each, 2 * each),
    gateway: (index) => rest.slice(index % rest.length, (index % rest.length) + 1),
  };
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

/** A number in parts that differ by at most one. @param {number} whole @param {number} parts @returns {number[]} */
export function shares(whole, parts) {
  return Array.from(
    { length: parts },
    (_, i) => Math.floor((whole * (i + 1)) / parts) - Math.floor((whole * i) / parts),
  );
}
