// @ts-check
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, pause, until } from '../drill/processes.mjs';
import { CHART, check, insist, isReady, run } from './cluster.mjs';
import { Clients, complete } from './load.mjs';

/** @typedef {import('./cluster.mjs').Cluster} Cluster */

const GATEWAY = 'docker.io/penstock/gateway';
const WORKER = 'docker.io/penstock/worker-launcher';
const NAMESPACE = 'real';
const REDIS = ['redis', 'reply-redis'];
const READY_WITHIN_MS = 240_000;
const here = { nodeSelector: { 'test/real': 'true' }, tolerations: [{ key: 'test/real', operator: 'Exists' }] };
const small = { requests: { cpu: '20m', memory: '64Mi', 'ephemeral-storage': '16Mi' }, limits: { memory: '512Mi' } };
const stopping = { drainSeconds: 40, terminationGracePeriodSeconds: 80 };

/** @param {string} tag of both images @param {Record<string, string>} [note] annotations of all pods */
function values(tag, note = {}) {
  const ours = { ...here, ...stopping, resources: small, podAnnotations: note };
  return {
    gateway: { ...ours, replicas: 2, preStopSeconds: 5, image: { tag } },
    worker: {
      ...ours,
      engine: 'simulator',
      image: { tag: `${tag}-simulator` },
      // Slow enough that answers run during the faults of their pods.
      extraEnv: [{ name: 'PENSTOCK_SIM_ITL_MS', value: '100' }],
    },
    workerPools: { try: { replicas: 2, models: { 'Phi-3-vision-128k-instruct': { engines: 1 } } } },
    redis: { bundled: { ...here, resources: { ...small, limits: { memory: '256Mi' } } } },
    replyRedis: { bundled: { resources: { ...small, limits: { memory: '256Mi' } } } },
    tests: { existingSecret: 'penstock-test-key' },
  };
}

/** The shared release on the real node; each check restores its state. */
export class Release {
  /** @param {Cluster} cluster @param {string} url @param {string} internalUrl @param {string} key */
  constructor(cluster, url, internalUrl, key) {
    this.cluster = cluster;
    this.url = url;
    this.internalUrl = internalUrl;
    this.key = key;
  }

  /** @param {Cluster} cluster */
  static async install(cluster) {
    for (const tag of ['0.2.0', '0.2.1']) {
      await cluster.load(`${GATEWAY}:${tag}`);
      await cluster.load(`${WORKER}:${tag}-simulator`);
    }
    await cluster.load('docker.io/valkey/valkey:8.1.4');
    await cluster.namespace(NAMESPACE, { 'pod-security.kubernetes.io/enforce': 'restricted' });
    const key = await secrets(cluster);
    await cluster.helm(3, [
      'install',
      'r',
      CHART,
      '-n',
      NAMESPACE,
      '-f',
      await cluster.values('real', values('0.2.0')),
    ]);
    const release = new Release(
      cluster,
      await urlOf(cluster, 'gateway', 80),
      await urlOf(cluster, 'gateway-internal', 9090),
      key,
    );
    await release.ready();
    return release;
  }

  /** Waits until everything runs and the gateways know both workers. */
  async ready() {
    for (const name of REDIS)
      await this.cluster.ready(NAMESPACE, `app.kubernetes.io/component=${name}`, 1, READY_WITHIN_MS);
    await this.cluster.ready(NAMESPACE, 'app.kubernetes.io/component=gateway', 2, READY_WITHIN_MS);
    await this.cluster.ready(NAMESPACE, 'app.kubernetes.io/component=worker', 2, READY_WITHIN_MS);
    const isServed = async () => (await this.ask()).how === 'complete';
    await until('a request is answered', isServed, 60_000);
  }

  /** @param {Partial<Parameters<typeof complete>[2]>} [options] */
  ask(options = {}) {
    return complete(this.url, this.key, { stream: false, tokens: 4, ...options });
  }

  /** @param {string} component */
  pods(component) {
    return this.cluster.pods(NAMESPACE, `app.kubernetes.io/component=${component}`);
  }

  /** Images of our Dockerfiles serve streams and plain requests, `helm test` passes, and an upgrade fails no request. */
  async endToEnd() {
    for (const stream of [false, true]) {
      const { how, status, detail } = await this.ask({ stream, tokens: 8 });
      check(how === 'complete', `stream ${stream}: ${status} ${detail}`);
    }
    const scaled = await fetch(`${this.internalUrl}/scale/try`);
    const { workersWanted } = /** @type {{ workersWanted: number }} */ (await scaled.json());
    check(Number.isInteger(workersWanted), `/scale/try answers ${scaled.status}`);
    await this.cluster.helm(3, ['test', 'r', '-n', NAMESPACE, '--timeout', '240s']);

    const clients = new Clients(this.url, this.key, { count: 6, tokens: 30 });
    const file = await this.cluster.values('real-new', values('0.2.1', { note: 'upgraded' }));
    const upgrade = ['upgrade', 'r', CHART, '-n', NAMESPACE, '-f', file, '--wait', '--timeout', '540s'];
    const upgraded = await this.cluster.tryHelm(4, upgrade, { limitMs: 560_000 });
    const isNew = async () => {
      const pods = [...(await this.pods('gateway')), ...(await this.pods('worker'))];
      return pods.length === 4 && pods.every((pod) => isReady(pod) && pod.metadata.annotations?.note === 'upgraded');
    };
    await until('only new pods are left', isNew, 240_000).finally(() => clients.stop());
    await insist(Promise.resolve(upgraded));
    const lost = clients.ended.find(({ how }) => how !== 'complete');
    check(
      lost === undefined,
      `${clients.ended.length - clients.count('complete')} of ${clients.ended.length} failed, such as ${JSON.stringify(lost)}`,
    );
    return `helm test; upgrade in place with ${clients.ended.length} requests, none failed`;
  }

  /** A stream that is open while its node is drained ends with [DONE]. */
  async drainKeepsStream() {
    /** @type {(() => void)} */
    let begun = () => {};
    const first = new Promise((resolve) => (begun = () => resolve(undefined)));
    const streams = Array.from({ length: 4 }, () => this.ask({ stream: true, tokens: 200, onFirst: begun }));
    await first;
    // Redis stays, because on a larger cluster it runs on another node or is a separate service.
    const selector = 'app.kubernetes.io/component in (worker)';
    const drain = ['drain', 'real-1', '--ignore-daemonsets', '--delete-emptydir-data', '--pod-selector', selector];
    try {
      const drained = this.cluster.tryKubectl([...drain, '--timeout=200s'], { limitMs: 210_000 });
      // The second worker waits for the disruption budget, because its replacement finds no node.
      const ended = await Promise.all(streams);
      const lost = ended.find(({ how }) => how !== 'complete');
      check(lost === undefined, `a stream ended otherwise: ${JSON.stringify(lost)}`);
      const gone = async () => (await this.pods('worker')).filter(isReady).length <= 1;
      await until('a worker left', gone, 90_000);
      const left = (await this.pods('worker')).filter(isReady).length;
      check(left === 1, `${left} workers are ready while the budget keeps one`);
      await this.cluster.tryKubectl(['uncordon', 'real-1']);
      await insist(drained).catch(() => {});
    } finally {
      await this.cluster.tryKubectl(['uncordon', 'real-1']);
    }
    await this.ready();
    return '4 streams of 20 s through it';
  }

  /** A killed launcher loses no request, and the kubelet starts another one. */
  async launcherKilled() {
    const clients = new Clients(this.url, this.key, { count: 6, tokens: 30 });
    try {
      await until('answers come', () => clients.count('complete') >= 6, 60_000);
      const [pod] = await this.pods('worker');
      await killContainer(pod);
      const restarted = async () =>
        (await this.pods('worker')).some(
          ({ metadata, status }) => metadata.name === pod.metadata.name && status.containerStatuses[0].restartCount > 0,
        );
      await until('the kubelet starts another launcher', restarted, 90_000);
    } finally {
      await clients.stop();
    }
    const lost = clients.ended.filter(({ how }) => how !== 'complete');
    check(lost.length === 0, `${lost.length} of ${clients.ended.length} were lost, such as ${JSON.stringify(lost[0])}`);
    await this.ready();
    return `${clients.ended.length} requests, each answered once`;
  }

  /** Each Redis is killed under load, one after the other. */
  async redisKilled() {
    const said = [];
    for (const name of REDIS) said.push(`${name}: ${await this.#killed(name)}`);
    return said.join('; ');
  }

  /** @param {string} name of a Redis @param {number} count */
  async #replicas(name, count) {
    await this.cluster.kubectl(['scale', `statefulset/r-penstock-${name}`, `--replicas=${count}`, '-n', NAMESPACE]);
  }

  /** During the outage 503 with Retry-After, afterwards everything as before. @param {string} name of a Redis */
  async #killed(name) {
    const clients = new Clients(this.url, this.key, { count: 6, tokens: 10, pauseMs: 100 });
    try {
      await until('answers come', () => clients.count('complete') >= 6, 60_000);
      // Without a replica it stays away until a request saw it: a pod that is replaced is back within a second or two.
      await this.#replicas(name, 0);
      const pod = ['pod', `r-penstock-${name}-0`, '-n', NAMESPACE];
      await this.cluster.kubectl(['delete', ...pod, '--grace-period=1', '--wait=false', '--ignore-not-found']);
      // Running requests wait for its return.
      const isRefused = async () => {
        const { status, retryAfter } = await this.ask({ limitMs: 5_000 });
        return status === 503 && retryAfter !== null;
      };
      await until('a new request gets a 503 with Retry-After', isRefused, 60_000);
      const notReady = (await this.pods('gateway')).filter((pod) => !isReady(pod));
      check(notReady.length === 0, 'a gateway is not ready while Redis is away');
      await this.#replicas(name, 1);
      await this.cluster.ready(NAMESPACE, `app.kubernetes.io/component=${name}`, 1, 120_000);
      const before = clients.count('complete');
      await until('answers arrive again', () => clients.count('complete') >= before + 6, 90_000);
    } finally {
      await this.#replicas(name, 1);
      await clients.stop();
    }
    const broken = clients.ended.filter(({ how }) => how === 'broken');
    // A stream whose frames Redis lost ends with an error event instead of a silent truncation.
    const silent = broken.filter(({ detail }) => !detail.includes('"error"'));
    check(silent.length === 0, `${silent.length} ended without a word, such as ${JSON.stringify(silent[0])}`);
    await this.ready();
    return `${clients.count('complete')} answered, ${clients.count('refused')} refused with an error, ${broken.length} ended in an error event`;
  }
}

/** A key for the gateway's file and, in clear, for `helm test`. @param {Cluster} cluster @returns {Promise<string>} */
async function secrets(cluster) {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-keys-'));
  try {
    const file = join(folder, 'keys.yaml');
    const args = ['deploy/local/penstock.mjs', 'keys', 'create', '--file', file, '--id', 'test'];
    const { stdout } = await insist(run(process.execPath, args, { cwd: ROOT }));
    const key = stdout.trim().split(/\s+/).at(-1) ?? '';
    check((await readFile(file, 'utf8')).includes('test'), 'no key was made');
    const create = ['create', 'secret', 'generic', '-n', NAMESPACE];
    await cluster.kubectl([...create, 'penstock-keys', `--from-file=keys.yaml=${file}`]);
    await cluster.kubectl([...create, 'penstock-test-key', `--from-literal=key=${key}`]);
    return key;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** @param {Cluster} cluster @param {string} suffix @param {number} port */
async function urlOf(cluster, suffix, port) {
  const { spec } = await cluster.get('service', `r-penstock-${suffix}`, '-n', NAMESPACE);
  if (spec.clusterIP !== 'None') return `http://${spec.clusterIP}:${port}`;
  const pods = await cluster.pods(NAMESPACE, 'app.kubernetes.io/component=gateway');
  return `http://${pods[0]?.status.podIP}:${port}`;
}

/** SIGKILL to the first process of a pod's container, found by its cgroup. @param {any} pod */
async function killContainer({ metadata, status }) {
  const id = status.containerStatuses[0].containerID.replace('containerd://', '');
  const { stdout } = await run('grep', ['-l', '-s', id, ...(await cgroups())]);
  const pids = stdout
    .split('\n')
    .map((line) => Number(/^\/proc\/(\d+)\//.exec(line)?.[1]))
    .filter((pid) => pid > 0);
  check(pids.length > 0, `no process of ${metadata.name}`);
  process.kill(Math.min(...pids), 'SIGKILL');
  await pause(100);
}

async function cgroups() {
  const { stdout } = await run('sh', ['-c', 'ls -d /proc/[0-9]*/cgroup']);
  return stdout.trim().split('\n');
}
