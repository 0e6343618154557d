// @ts-check
import { pause } from '../drill/processes.mjs';
import { CHART, check } from './cluster.mjs';

/** @typedef {import('./cluster.mjs').Cluster} Cluster */

const GIVEN = {
  worker: { engine: 'simulator' },
  workerPools: { try: { models: { 'Phi-3-vision-128k-instruct': { engines: 1 } } } },
};

const LEFT = 'persistentvolumeclaim/data-r-penstock-redis-0 secret/r-penstock-redis secret/r-penstock-reply-redis';

/** The parts of Secrets, claims and selectors that an upgrade must not change. @param {Cluster} cluster @param {string} namespace */
async function kept(cluster, namespace) {
  /** @param {string} kind @returns {Promise<any[]>} */
  const of = async (kind) => (await cluster.get(kind, '-n', namespace)).items;
  const secrets = (await of('secrets')).filter(({ type }) => type === 'Opaque');
  const owners = [...(await of('deployments')), ...(await of('statefulsets'))];
  return JSON.stringify({
    secrets: secrets.map(({ metadata, data }) => [metadata.name, metadata.uid, data]),
    claims: (await of('pvc')).map(({ metadata }) => [metadata.name, metadata.uid]),
    selectors: owners.map(({ metadata, spec }) => [metadata.name, metadata.uid, spec.selector]),
  });
}

/** Upgrades keep the generated password, the claim and the selectors. @param {Cluster} cluster */
export async function upgradeKeeps(cluster) {
  const namespace = await cluster.namespace('t16');
  const from = ['r', CHART, '-n', namespace, '-f', await cluster.values('t16', GIVEN)];
  try {
    await cluster.helm(3, ['install', ...from]);
    const before = await kept(cluster, namespace);
    check(before.includes('redis'), 'no Secret of Redis');
    await cluster.helm(3, ['upgrade', ...from]);
    await cluster.helm(4, ['upgrade', ...from, '--set', 'gateway.logLevel=debug']);
    check((await kept(cluster, namespace)) === before, 'an upgrade changed a Secret, a claim or a selector');
    return 'no chart was released yet: this chart over itself, helm 3 and then 4';
  } finally {
    await cluster.tryHelm(3, ['uninstall', 'r', '-n', namespace]);
    await cluster.removeNamespace(namespace);
  }
}

/** `helm uninstall` leaves only the kept Secrets and the claim. @param {Cluster} cluster */
export async function uninstallLeaves(cluster) {
  const namespace = await cluster.namespace('t17');
  try {
    await cluster.helm(3, ['install', 'r', CHART, '-n', namespace, '-f', await cluster.values('t17', GIVEN)]);
    await cluster.helm(3, ['uninstall', 'r', '-n', namespace]);
    await cluster.tryKubectl(['delete', 'pods', '--all', '--force', '--grace-period=0', '-n', namespace]);
    let left = '';
    for (let tries = 0; tries < 40; tries += 1) {
      const kinds = 'all,configmaps,secrets,pvc,serviceaccounts,networkpolicies,pdb,endpointslices';
      left = await cluster.kubectl(['get', kinds, '-n', namespace, '-o', 'name']);
      left = left
        .split('\n')
        .filter((name) => !/^$|kube-root-ca|serviceaccount\/default|events/.test(name))
        .toSorted()
        .join(' ');
      if (left === LEFT) break;
      await pause(500);
    }
    check(left === LEFT, `left: ${left}`);
    return left;
  } finally {
    await cluster.removeNamespace(namespace);
  }
}
