// @ts-check

/**
 * @typedef {import('../../../gateway/http/internal.ts').GatewayStatus} GatewayStatus
 * @typedef {import('../../../worker-launcher/probes.ts').LauncherStatus} LauncherStatus
 * @typedef {import('../../../gateway/contract/registry.ts').EngineReport} EngineReport
 * @typedef {import('../../../gateway/runtime/redis-watch.ts').RedisView} RedisView
 * @typedef {{ text: number, image: number }} Load
 *
 * @typedef {object} EngineFacts
 * @property {string} node
 * @property {string} id
 * @property {string} model
 * @property {string} state `ready`, or another state of the engine
 * @property {Load} running requests that it works on
 * @property {Load} room requests that it may work on at a time
 * @property {string | null} stage progress of its start; null: it is ready, or an earlier release reported it
 * @property {string | null} lastFailure in a sentence; null: it never failed, or an earlier release reported it
 *
 * @typedef {object} StatusFacts what `penstock status --json` prints
 * @property {boolean} well `problems` is empty
 * @property {string[]} problems one sentence each
 * @property {{ url: string, replica: string | null, state: string, openRequests: number | null, logLinesDropped: number | null }[]} gateways
 *   `state`: `serving`, `unreachable`, or a stage of its departure
 * @property {{ url: string, node: string | null, pool: string | null, state: string, engine: string | null, logLinesDropped: number | null }[]} launchers
 *   `state`: `serving`, `draining` or `unreachable`; `engine`: `vllm` or `simulator`
 * @property {{ name: string, ready: number, engines: EngineFacts[] }[]} pools `ready`: number of ready engines
 * @property {{ model: string, text: number | null, image: number | null }[]} waiting jobs that no worker has taken; null: Redis does not answer
 * @property {GatewayStatus['queues']} queues how each queue drains, and what its keys have waiting
 * @property {Readonly<Record<string, number>>} refusals refused requests of all gateways since their start, by outcome of admission
 * @property {{ name: string, state: string, seenBy: string[], latencyMs: number | null, evictionPolicy: string | null, evictedKeys: number, restarts: number }[]} redis
 *   one per state that programs report; `latencyMs` is the longest
 * @property {{ provider: string, issuer: string, state: string, trouble: string | null, keys: number, seenBy: string[] }[]} issuers
 *   of tokens, one per state that gateways report
 *
 * @typedef {{ url: string, status: unknown }} Report `status`: the answer of its `/status`; undefined: no answer
 */

/**
 * Joins the `/status` of gateways and worker-launchers.
 * @param {{ gateways: readonly Report[], launchers: readonly Report[] }} reports
 * @returns {StatusFacts}
 */
export function statusFacts(reports) {
  const gateways = reports.gateways.map(({ url, status }) => ({
    url,
    status: isOfGateway(status) ? status : undefined,
  }));
  const launchers = reports.launchers.map(({ url, status }) => ({
    url,
    status: isOfLauncher(status) ? status : undefined,
  }));
  const facts = {
    gateways: gateways.map(({ url, status }) => ({
      url,
      replica: status?.replica ?? null,
      state: status?.stage ?? 'unreachable',
      openRequests: status?.openRequests ?? null,
      logLinesDropped: status?.logLinesDropped ?? null,
    })),
    launchers: launchers.map(({ url, status }) => ({
      url,
      node: status?.launcher.node ?? null,
      pool: status?.launcher.pool ?? null,
      state: status === undefined ? 'unreachable' : status.launcher.draining ? 'draining' : 'serving',
      engine: status?.engine ?? null,
      logLinesDropped: status?.logLinesDropped ?? null,
    })),
    pools: poolsOf(
      gateways.flatMap(({ status }) => status ?? []),
      launchers.flatMap(({ status }) => status ?? []),
    ),
    // all replicas report the same queues
    waiting: gateways.flatMap(({ status }) => status?.waiting ?? []).filter(isFirstOf(({ model }) => model)),
    queues: gateways
      .flatMap(({ status }) => status?.queues ?? [])
      .filter(isFirstOf(({ model, kind }) => `${model} ${kind}`)),
    refusals: refusalsOf(gateways.flatMap(({ status }) => (status?.admission === undefined ? [] : [status.admission]))),
    redis: redisOf([
      ...gateways.flatMap(({ status }) => (status === undefined ? [] : { name: status.replica, redis: status.redis })),
      ...launchers.flatMap(({ status }) =>
        status === undefined ? [] : { name: `worker-launcher of ${status.launcher.node}`, redis: status.redis },
      ),
    ]),
    issuers: issuersOf(gateways.flatMap(({ status }) => status ?? [])),
  };
  const problems = problemsOf(facts);
  return { well: problems.length === 0, problems, ...facts };
}

/**
 * Joins the engines: a launcher reports more fields of its own, but a gateway may report the engines of further launchers.
 * @param {readonly GatewayStatus[]} gateways @param {readonly LauncherStatus[]} launchers
 */
function poolsOf(gateways, launchers) {
  /** @param {string} pool @param {string} node @param {number} launcherPid @param {EngineReport | LauncherStatus['engines'][number]} engine */
  const entry = (pool, node, launcherPid, engine) => ({
    key: `${node} ${launcherPid} ${engine.id}`,
    pool,
    engine: /** @type {EngineFacts} */ ({
      node,
      id: engine.id,
      model: engine.model,
      state: engine.state,
      running: engine.inFlight,
      room: engine.slots,
      stage: engine.stage ?? null,
      lastFailure: engine.lastFailure ?? null,
    }),
  });
  const own = launchers.flatMap(({ launcher: { pool, node, pid }, engines }) =>
    engines.map((engine) => entry(pool, node, pid, engine)),
  );
  const reported = gateways.flatMap(({ workers }) =>
    workers.flatMap(({ pool, node, launcherPid, draining, engines }) =>
      engines.map((engine) => entry(pool, node, launcherPid, draining ? { ...engine, state: 'draining' } : engine)),
    ),
  );
  const all = [...own, ...reported].filter(isFirstOf(({ key }) => key));
  return [...new Set(all.map(({ pool }) => pool))]
    .sort((a, b) => a.localeCompare(b))
    .map((name) => {
      const engines = all.filter(({ pool }) => pool === name).map(({ engine }) => engine);
      return { name, ready: engines.filter(({ state }) => state === 'ready').length, engines };
    });
}

/** @param {readonly Readonly<Record<string, number>>[]} counts outcomes of each gateway */
function refusalsOf(counts) {
  /** @type {Record<string, number>} */
  const sums = {};
  for (const [outcome, count] of counts.flatMap((one) => Object.entries(one)))
    if (outcome !== 'admitted') sums[outcome] = (sums[outcome] ?? 0) + count;
  return sums;
}

/** @param {readonly { name: string, redis: Readonly<Record<string, RedisView>> }[]} programs */
function redisOf(programs) {
  /** @type {Map<string, StatusFacts['redis'][number]>} */
  const seen = new Map();
  for (const program of programs) {
    for (const [name, { state, evictionPolicy, evictedKeys, restarts, ...view }] of Object.entries(program.redis)) {
      const before = seen.get(`${name} ${state}`);
      const latencies = [before?.latencyMs, view.latencyMs].filter((latency) => typeof latency === 'number');
      seen.set(`${name} ${state}`, {
        name,
        state,
        seenBy: [...(before?.seenBy ?? []), program.name],
        latencyMs: latencies.length === 0 ? null : Math.max(...latencies),
        evictionPolicy: evictionPolicy ?? before?.evictionPolicy ?? null,
        evictedKeys: Math.max(evictedKeys, before?.evictedKeys ?? 0),
        restarts: Math.max(restarts, before?.restarts ?? 0),
      });
    }
  }
  return [...seen.values()];
}

/** @param {readonly GatewayStatus[]} gateways an earlier version reports no issuers */
function issuersOf(gateways) {
  /** @type {Map<string, StatusFacts['issuers'][number]>} */
  const seen = new Map();
  for (const { replica, issuers = [] } of gateways)
    for (const { provider, issuer, state, trouble, keys } of issuers) {
      const before = seen.get(`${issuer} ${state}`)?.seenBy ?? [];
      seen.set(`${issuer} ${state}`, { provider, issuer, state, trouble, keys, seenBy: [...before, replica] });
    }
  return [...seen.values()];
}

/** @param {Omit<StatusFacts, 'well' | 'problems'>} facts @returns {string[]} */
function problemsOf({ gateways, launchers, pools, waiting, redis, issuers }) {
  const engines = pools.flatMap((pool) => pool.engines);
  return [
    ...programProblems('gateway', gateways),
    ...programProblems('worker-launcher', launchers),
    ...engines
      .filter(({ state }) => state !== 'ready')
      .map(({ node, id, state, stage, lastFailure }) => {
        const more = [stage ?? [], lastFailure === null ? [] : `last failure: ${lastFailure}`].flat().join('; ');
        return `${id} of ${node} is not ready: ${state}${more === '' ? '' : ` (${more})`}`;
      }),
    ...waiting
      .filter(({ model }) => !engines.some((engine) => engine.model === model && engine.state === 'ready'))
      .map(({ model }) => `no engine of ${model} is ready`),
    ...redis
      .filter(({ state }) => state !== 'ok')
      .map(({ name, state, seenBy }) => `the Redis of ${name} is ${state}, seen by ${seenBy.join(', ')}`),
    ...redis
      .filter(({ evictionPolicy }) => evictionPolicy !== null && evictionPolicy !== 'noeviction')
      .map(
        ({ name, evictionPolicy, evictedKeys }) =>
          `the Redis of ${name} may evict requests (policy ${evictionPolicy}, ${evictedKeys} keys evicted): set its maxmemory-policy to noeviction`,
      )
      .filter(isFirstOf((sentence) => sentence)),
    ...issuers
      .filter(({ state }) => state === 'failing')
      .map(({ issuer, trouble, keys, seenBy }) => {
        const effect = keys === 0 ? 'its tokens are refused' : 'its keys that were read before stay in use';
        return `the keys of the issuer ${issuer} cannot be read (${trouble ?? 'unknown'}), seen by ${seenBy.join(', ')}: ${effect}`;
      }),
  ];
}

/** @param {string} what @param {readonly { url: string, state: string }[]} programs */
function programProblems(what, programs) {
  return programs
    .filter(({ state }) => state !== 'serving')
    .map(({ url, state }) =>
      state === 'unreachable' ? `no ${what} answers at ${url}` : `the ${what} at ${url} is ${state}`,
    );
}

/**
 * Checks only the fields that all neighbouring versions have.
 * @param {unknown} status @returns {status is GatewayStatus}
 */
function isOfGateway(status) {
  return hasAll(status, ['replica', 'stage', 'redis', 'workers']);
}

/** @param {unknown} status @returns {status is LauncherStatus} */
function isOfLauncher(status) {
  return hasAll(status, ['launcher', 'model', 'redis', 'engines']);
}

/** @param {unknown} value @param {readonly string[]} parts */
function hasAll(value, parts) {
  return typeof value === 'object' && value !== null && parts.every((part) => part in value);
}

/** @template T @param {(item: T) => string} keyOf @returns {(item: T) => boolean} for `filter`: the first of each key */
function isFirstOf(keyOf) {
  /** @type {Set<string>} */
  const known = new Set();
  return (item) => {
    const key = keyOf(item);
    const isNew = !known.has(key);
    known.add(key);
    return isNew;
  };
}
