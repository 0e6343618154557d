// @ts-check
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pause, until } from '../drill/processes.mjs';
import { CHART, check, insist, isReady } from './cluster.mjs';

/** @typedef {import('./cluster.mjs').Cluster} Cluster */

const MODEL = 'Phi-3-vision-128k-instruct';
const [NC48, NC96, ND96] = ['Standard_NC48ads_A100_v4', 'Standard_NC96ads_A100_v4', 'Standard_ND96amsr_A100_v4'];

/** Simulated pods exit soon, so that a check does not wait for their grace period. */
const QUICK = { 'sim/exit-after': '1s' };
const redis = { bundled: { persistence: { enabled: false }, existingSecret: 'penstock-redis', podAnnotations: QUICK } };

/** @param {Record<string, { sku: string, replicas?: number }>} pools @param {object} [worker] @returns {object} */
function values(pools, worker = {}) {
  const workerPools = Object.entries(pools).map(([name, { sku, replicas = 1 }]) => [
    name,
    { sku, replicas, models: { [MODEL]: { engines: 'fill' } } },
  ]);
  return {
    gateway: { podAnnotations: QUICK },
    worker: { podAnnotations: QUICK, ...worker },
    workerPools: Object.fromEntries(workerPools),
    redis,
  };
}

const ofPool = (/** @type {string} */ pool) => `app.kubernetes.io/component=worker,pool=${pool}`;
const files = async () => (await readdir(join(CHART, 'ci'))).filter((name) => name.endsWith('.yaml')).toSorted();
/** @param {any} pod */
const annotated = (pod) => JSON.stringify(pod.metadata.annotations ?? {});

/** Installs a release, runs `work`, and removes the release. @param {Cluster} cluster @param {string} name @param {object} given @param {(namespace: string) => Promise<string>} work @returns {Promise<string>} */
async function installed(cluster, name, given, work) {
  await cluster.namespace(name);
  try {
    await cluster.helm(4, ['install', 'r', CHART, '-n', name, '-f', await cluster.values(name, given)]);
    return await work(name);
  } finally {
    await cluster.tryHelm(4, ['uninstall', 'r', '-n', name]);
    await cluster.removeNamespace(name);
  }
}

/** Sends objects to the API server as a dry run. Their pods need existing service accounts. @param {Cluster} cluster @param {string} namespace @param {string} objects */
async function triedOut(cluster, namespace, objects) {
  const named = new Set(Array.from(objects.matchAll(/serviceAccountName: (\S+)/g), ([, name = '']) => name));
  for (const name of named) await cluster.tryKubectl(['create', 'serviceaccount', name, '-n', namespace]);
  const applied = await cluster.tryKubectl(['apply', '--dry-run=server', '-n', namespace, '-f', '-'], {
    input: objects,
  });
  for (const name of named) await cluster.tryKubectl(['delete', 'serviceaccount', name, '-n', namespace]);
  return applied;
}

/** The API server accepts every example. @param {Cluster} cluster @param {readonly (3 | 4)[]} [helms] */
export async function takesEveryExample(cluster, helms = [3, 4]) {
  const all = await files();
  for (const helm of helms) {
    const namespace = await cluster.namespace(`t6-helm${helm}`);
    // Without controllers it must be created here.
    await cluster.tryKubectl(['create', 'serviceaccount', 'default', '-n', namespace]);
    for (const file of all) {
      const from = ['r', CHART, '-n', namespace, '-f', join(CHART, 'ci', file)];
      const rendered = await cluster.helm(helm, ['template', ...from, helm === 3 ? '--validate' : '--dry-run=server']);
      const applied = await triedOut(cluster, namespace, rendered);
      check(applied.code === 0, `${file}, helm ${helm}: ${applied.stderr.slice(0, 600)}`);
      await insist(cluster.tryHelm(helm, ['install', ...from, '--no-hooks'])).catch((error) => {
        throw new Error(`helm ${helm} install of ${file}: ${error.message}`);
      });
      await cluster.helm(helm, ['uninstall', 'r', '-n', namespace]);
      await cluster.tryKubectl(['delete', 'pods', '--all', '--force', '--grace-period=0', '-n', namespace]);
    }
    await cluster.removeNamespace(namespace);
  }
  return `${all.length} files, helm ${helms.join(' and ')}`;
}

/** Pods run only on nodes of their pool's VM size. @param {Cluster} cluster */
export async function landsOnItsSize(cluster) {
  const pools = { a: { sku: NC48, replicas: 3 }, b: { sku: NC96 }, c: { sku: ND96 } };
  return installed(cluster, 't7', values(pools), async (namespace) => {
    const nodes = new Map(
      (await cluster.get('nodes')).items.map((/** @type {any} */ node) => [node.metadata.name, node]),
    );
    check(nodes.has('aks-nc48-bad'), 'the cluster has no tainted node');
    for (const [pool, { sku }] of Object.entries(pools)) {
      const expected = pool === 'a' ? 2 : 1;
      await cluster.ready(namespace, ofPool(pool), expected, 60_000);
      for (const { spec } of (await cluster.pods(namespace, ofPool(pool))).filter(isReady)) {
        const { labels } = nodes.get(spec.nodeName).metadata;
        check(labels['node.kubernetes.io/instance-type'] === sku, `a pod of ${sku} is on ${spec.nodeName}`);
        check(spec.nodeName !== 'aks-nc48-bad', 'a pod is on the tainted node');
      }
    }
    const waiting = (await cluster.pods(namespace, ofPool('a'))).filter((pod) => !isReady(pod));
    check(waiting.length === 1 && waiting[0].spec.nodeName === undefined, 'the third pod of two nodes does not wait');
    const gateways = await cluster.pods(namespace, 'app.kubernetes.io/component=gateway');
    check(
      gateways.every(({ spec }) => nodes.get(spec.nodeName)?.metadata.labels.agentpool === 'system'),
      'a gateway is on a GPU node',
    );
    return 'three sizes; none on the tainted node or on one of another size';
  });
}

/** A namespace that enforces `restricted` admits every pod. @param {Cluster} cluster */
export async function isAdmitted(cluster) {
  const at = 'pod-security.kubernetes.io';
  const namespace = await cluster.namespace('t8', { [`${at}/enforce`]: 'restricted', [`${at}/warn`]: 'restricted' });
  try {
    const all = await files();
    for (const file of all) {
      const from = ['r', CHART, '-n', namespace, '-f', join(CHART, 'ci', file)];
      const rendered = await cluster.helm(3, ['template', ...from, '--validate']);
      const applied = await triedOut(cluster, namespace, rendered);
      check(!/PodSecurity/.test(applied.stderr) && applied.code === 0, `${file}: ${applied.stderr.slice(0, 600)}`);
    }
    const pools = { a: { sku: NC48 }, b: { sku: NC96 }, c: { sku: ND96 } };
    await cluster.helm(4, ['install', 'r', CHART, '-n', namespace, '-f', await cluster.values('t8', values(pools))]);
    await cluster.ready(namespace, 'app.kubernetes.io/instance=r', 7, 60_000);
    const { items } = await cluster.get('events', '-n', namespace, '--field-selector', 'reason=FailedCreate');
    check(items.length === 0, `refused: ${items[0]?.message}`);
    return `${all.length} files without a warning; gateways, both Redis and three pools run`;
  } finally {
    await cluster.tryHelm(4, ['uninstall', 'r', '-n', namespace]);
    await cluster.removeNamespace(namespace);
  }
}

/** A rollout with slow starts never has two pods of a pool down, and ends although no node is free. @param {Cluster} cluster */
export async function rollsOneByOne(cluster) {
  const worker = (/** @type {string} */ note) => ({ podAnnotations: { ...QUICK, 'sim/ready-after': '4s', note } });
  const pools = { a: { sku: NC48, replicas: 2 } };
  return installed(cluster, 't9', values(pools, worker('one')), async (namespace) => {
    await cluster.ready(namespace, ofPool('a'), 2, 60_000);
    const upgrade = [
      'upgrade',
      'r',
      CHART,
      '-n',
      namespace,
      '-f',
      await cluster.values('t9', values(pools, worker('two'))),
    ];
    let [fewest, most] = [2, 0];
    let over = false;
    const upgrading = cluster.tryHelm(4, [...upgrade, '--wait', '--timeout', '150s']).finally(() => (over = true));
    while (!over) {
      const pods = await cluster.pods(namespace, ofPool('a'));
      fewest = Math.min(fewest, pods.filter(isReady).length);
      most = Math.max(most, pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined).length);
      await pause(200);
    }
    await insist(upgrading);
    const pods = await cluster.pods(namespace, ofPool('a'));
    check(pods.filter(isReady).length === 2, 'the rollout ended with a pod that is not ready');
    check(
      pods.every((pod) => annotated(pod).includes('"two"')),
      'a pod of before is left',
    );
    check(fewest >= 1, 'no pod of the pool was ready at one time');
    check(most <= 2, `${most} pods at a time`);
    return 'one of two pods was ready all the while';
  });
}

/** A version that crashes fails the upgrade, which rolls back. @param {Cluster} cluster */
export async function rollsBack(cluster) {
  const pools = { a: { sku: NC48, replicas: 2 } };
  const bad = { podAnnotations: { ...QUICK, 'sim/fail': 'true' } };
  return installed(cluster, 't10', values(pools), async (namespace) => {
    await cluster.ready(namespace, ofPool('a'), 2, 60_000);
    const upgrade = ['upgrade', 'r', CHART, '-n', namespace, '-f', await cluster.values('t10-bad', values(pools, bad))];
    const upgraded = await cluster.tryHelm(4, [...upgrade, '--rollback-on-failure', '--wait', '--timeout', '40s']);
    check(upgraded.code !== 0, 'the upgrade did not fail');
    await cluster.ready(namespace, ofPool('a'), 2, 60_000);
    const pods = await cluster.pods(namespace, ofPool('a'));
    check(!pods.some((pod) => annotated(pod).includes('sim/fail')), 'a crashing pod is left');
    return 'helm 4; with helm 3 hooks.verify does it, which needs a gateway that runs';
  });
}

/** `kubectl drain` honours the budget. @param {Cluster} cluster */
export async function drainKeepsBudget(cluster) {
  return installed(cluster, 't11', values({ a: { sku: NC48, replicas: 2 } }), async (namespace) => {
    await cluster.ready(namespace, ofPool('a'), 2, 60_000);
    const [first, second] = (await cluster.pods(namespace, ofPool('a'))).map(({ spec }) => spec.nodeName);
    const drain = (/** @type {string} */ node) =>
      cluster.tryKubectl(['drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=20s']);
    try {
      const one = await drain(first);
      check(one.code === 0, `the first node is not drained: ${one.stderr}`);
      const two = await drain(second);
      check(two.code !== 0 && /disruption budget/.test(two.stderr), 'the second node was drained as well');
      const left = (await cluster.pods(namespace, ofPool('a'))).filter(isReady);
      check(left.length === 1, `${left.length} pods are ready`);
    } finally {
      await cluster.tryKubectl(['uncordon', first, second]);
    }
    await cluster.ready(namespace, ofPool('a'), 2, 60_000);
    return 'the second node waits for the first pod to be back';
  });
}

/** The pods of a lost node are replaced on another. @param {Cluster} cluster */
export async function replacesLostNode(cluster) {
  return installed(cluster, 't12', values({ a: { sku: NC48 } }, { nodeLostSeconds: 5 }), async (namespace) => {
    await cluster.ready(namespace, ofPool('a'), 1, 60_000);
    const [pod] = await cluster.pods(namespace, ofPool('a'));
    const lost = pod.spec.nodeName;
    const began = performance.now();
    try {
      await cluster.kubectl(['annotate', 'node', lost, 'sim/not-ready=true']);
      const isReplaced = async () =>
        (await cluster.pods(namespace, ofPool('a'))).some((one) => isReady(one) && one.spec.nodeName !== lost);
      await until('a replacement is ready', isReplaced, 90_000);
      return `after ${((performance.now() - began) / 1_000).toFixed(0)} s, 5 s of them nodeLostSeconds`;
    } finally {
      await cluster.tryKubectl(['annotate', 'node', lost, 'sim/not-ready-']);
    }
  });
}
