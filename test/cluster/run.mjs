// @ts-check
/**
 * `npm run chart:cluster`: tests the chart on a real API server with simulated GPU nodes, and, with images of our Dockerfiles, on
 * one real node. Linux, root, Go and Debian's packages are needed; nothing listens outside this machine.
 * PENSTOCK_TOOLS is the folder of the built programs (default .cache/k8s-tools).
 */
import { mkdtemp } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { ROOT } from '../drill/processes.mjs';
import { Cluster, insist, run } from './cluster.mjs';
import { followsPage } from './newcomer.mjs';
import { Release } from './real.mjs';
import { uninstallLeaves, upgradeKeeps } from './secrets.mjs';
import * as simulated from './simulated.mjs';

const PROGRAMS = ['apt-get', 'buildah', 'go', 'ip', 'npm', 'nsenter', 'openssl', 'perl'];

const HELP = `usage: npm run chart:cluster -- [--only T6,T14] [--keep]

  --only NAMES   these checks
  --keep         leave the cluster running; its folder is printed, and test/cluster/down.sh ends it
  --help         this text

Needs Linux on x86-64 of the Debian family, root, ${PROGRAMS.join(', ')},
and the registries of Go, npm and Debian. The first run builds Kubernetes below
.cache/k8s-tools or PENSTOCK_TOOLS: about ten minutes of four cores, and up to 10 GB of Go's build cache.

Each check is a line: passed, FAILED, or "not run" with the reason. Ends with \`N passed, N failed\`.`;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const OTHER_VERSIONS = ['1.35.4', '1.37.2'];
const PORT = 18_443;

/** @typedef {{ name: string, about: string, run: () => Promise<string> }} Check */
class NotRun extends Error {}

process.exitCode = await main();

async function main() {
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const missing = await whyNot();
  if (missing !== undefined) {
    console.log(`not run: ${missing}\n0 passed, 0 failed`);
    return 0;
  }
  const tools = resolve(ROOT, process.env['PENSTOCK_TOOLS'] ?? '.cache/k8s-tools');
  const state = await mkdtemp(join(tmpdir(), 'penstock-cluster-'));
  const cluster = new Cluster(tools, state, PORT);
  const wanted = options.only?.split(',');
  let [passed, failed] = [0, 0];
  try {
    console.log('building missing programs …');
    await insist(run('bash', [join(ROOT, 'test/cluster/tools.sh'), tools], { limitMs: 7_200_000 }));
    await insist(run('bash', [join(ROOT, 'test/cluster/images.sh'), tools, state], { limitMs: 3_600_000 }));
    await cluster.up({ REAL: '1', FAULTY: '1' });
    for (const { name, about, run: check } of checks(cluster)) {
      if (wanted !== undefined && !wanted.includes(name)) continue;
      const startedAt = performance.now();
      const seconds = () => `${((performance.now() - startedAt) / 1_000).toFixed(0)} s`;
      try {
        const note = await check();
        passed += 1;
        console.log(`${name.padEnd(4)} passed   ${about}: ${note} (${seconds()})`);
      } catch (error) {
        const sentence = error instanceof Error ? error.message : String(error);
        if (error instanceof NotRun) console.log(`${name.padEnd(4)} not run  ${about}: ${sentence}`);
        else {
          failed += 1;
          console.log(`${name.padEnd(4)} FAILED   ${about}: ${sentence} (${seconds()})`);
        }
      }
    }
  } finally {
    if (options.keep) console.log(`export KUBECONFIG=${join(state, 'kubeconfig')} PATH=${join(tools, 'bin')}:$PATH`);
    else await cluster.down();
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** @param {Cluster} cluster @returns {Check[]} */
function checks(cluster) {
  /** @type {Promise<Release> | undefined} */
  let release;
  const real = () => (release ??= Release.install(cluster));
  return [
    { name: 'T6', about: 'the API server accepts every example', run: () => everyVersion(cluster) },
    { name: 'T7', about: 'pods run only on their VM size', run: () => simulated.landsOnItsSize(cluster) },
    { name: 'T8', about: 'a restricted namespace admits all', run: () => simulated.isAdmitted(cluster) },
    { name: 'T9', about: 'a pool rolls one by one', run: () => simulated.rollsOneByOne(cluster) },
    { name: 'T10', about: 'a crashing version rolls back', run: () => simulated.rollsBack(cluster) },
    {
      name: 'T11',
      about: 'a drain honours budget and grace',
      run: async () => `${await simulated.drainKeepsBudget(cluster)}; ${await (await real()).drainKeepsStream()}`,
    },
    {
      name: 'T12',
      about: 'a lost node',
      run: async () => `${await simulated.replacesLostNode(cluster)}; ${await (await real()).launcherKilled()}`,
    },
    {
      name: 'T13',
      about: 'pools scale with KEDA',
      run: () =>
        Promise.reject(new NotRun('no KEDA runs here; /scale/<pool> is asked in T14, its numbers are in test/unit')),
    },
    { name: 'T14', about: 'end to end, and an upgrade', run: async () => (await real()).endToEnd() },
    { name: 'T15', about: 'Redis killed under load', run: async () => (await real()).redisKilled() },
    { name: 'T16', about: 'upgrades keep passwords, claims and selectors', run: () => upgradeKeeps(cluster) },
    { name: 'T17', about: 'uninstall leaves only kept Secrets and the claim', run: () => uninstallLeaves(cluster) },
    { name: 'T21', about: "the page's trial, step by step", run: () => followsPage(cluster) },
  ];
}

/** On this cluster with both helm versions, and on API servers of other versions if they are built. @param {Cluster} cluster */
async function everyVersion(cluster) {
  const notes = [await simulated.takesEveryExample(cluster)];
  for (const [index, version] of OTHER_VERSIONS.entries()) {
    if (!cluster.has(`kube-apiserver-${version}`)) {
      notes.push(`${version} not run: not built (test/cluster/tools.sh TOOLS api ${version})`);
      continue;
    }
    const other = new Cluster(cluster.tools, `${cluster.state}-${version}`, PORT + 20 * (index + 1));
    try {
      await other.up({ ONLY_API: '1', API_SERVER: `kube-apiserver-${version}` });
      notes.push(`${version}: ${await simulated.takesEveryExample(other, [3])}`);
    } finally {
      await other.down();
    }
  }
  return notes.join('; ');
}

/** @returns {Promise<string | undefined>} missing requirements of this machine */
async function whyNot() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it needs Linux on x86-64';
  if (process.getuid?.() !== 0) return 'it needs root, for network namespaces and containers';
  /** @type {string[]} */
  const missing = [];
  for (const name of PROGRAMS) {
    const { code } = await run('sh', ['-c', `command -v ${name}`]);
    if (code !== 0) missing.push(name);
  }
  return missing.length === 0 ? undefined : `it needs programs that are missing here: ${missing.join(', ')}`;
}
