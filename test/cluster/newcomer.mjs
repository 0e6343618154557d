// @ts-check
import { chmod, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readPage } from '../documents/page.mjs';
import { ROOT } from '../drill/processes.mjs';
import { CHART, check, insist, run } from './cluster.mjs';

/** @typedef {import('./cluster.mjs').Cluster} Cluster */

const HEADING = '## Try it without a GPU';
const STEP_LIMIT_MS = 900_000;

/**
 * The commands of the chart's page for a trial, run as they are written, on the real node alone.
 * Docker is replaced by buildah, a registry by the node's own store, and port 8080 by a free one.
 * @param {Cluster} cluster
 */
export async function followsPage(cluster) {
  const page = await readFile(join(CHART, 'README.md'), 'utf8');
  const [, section = ''] = page.split(`${HEADING}\n`);
  const { blocks } = readPage('charts/penstock/README.md', section.split('\n## ')[0] ?? '');
  const steps = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text);
  check(steps.length >= 4, `${steps.length} blocks below ${HEADING}`);
  const folder = join(cluster.state, 'newcomer');
  await prepare(cluster, folder);
  const env = { ...process.env, ...cluster.env(), PATH: `${join(folder, 'bin')}:${cluster.env().PATH}` };
  await onlyRealNode(cluster, true);
  try {
    const said = [];
    for (const step of steps) {
      const text = step.replaceAll('REGISTRY', 'docker.io').replaceAll('8080', String(cluster.port + 10));
      const { stdout, stderr } = await insist(
        run('bash', ['-euc', text], { env, cwd: folder, limitMs: STEP_LIMIT_MS }),
      );
      said.push(`${stdout}${stderr}`);
    }
    const all = said.join('\n');
    check(/"content":\s*"[^"]/.test(all), `no answer of the gateway: ${all.slice(-600)}`);
    check(/^healthy$/m.test(all), `penstock status is not healthy: ${all.slice(-600)}`);
    const left = await cluster.tryKubectl(['get', 'namespace', 'penstock']);
    check(left.code !== 0, 'the namespace is left');
    return `${steps.length} blocks of the page; the last removes all`;
  } finally {
    await cluster.tryHelm(3, ['uninstall', 'penstock', '-n', 'penstock']);
    await cluster.removeNamespace('penstock');
    await onlyRealNode(cluster, false);
    await rm(folder, { recursive: true, force: true });
  }
}

/** A checkout, and the programs of a person with Docker, helm 3 and Penstock. @param {Cluster} cluster @param {string} folder */
async function prepare(cluster, folder) {
  await mkdir(join(folder, 'bin'), { recursive: true });
  for (const name of ['charts', 'deploy']) await symlink(join(ROOT, name), join(folder, name));
  const dockerfile = await readFile(join(ROOT, 'deploy/gateway.Dockerfile'), 'utf8');
  const base = /^ARG NODE_IMAGE=(.*)$/m.exec(dockerfile)?.[1];
  const node = `bash ${join(ROOT, 'test/cluster/real-node.sh')} ${cluster.tools} ${cluster.state}`;
  await cluster.load('docker.io/valkey/valkey:8.1.4');
  await program(folder, 'helm', `exec ${join(cluster.tools, 'bin/helm3')} "$@"`);
  await program(folder, 'penstock', `exec ${process.execPath} ${join(ROOT, 'deploy/local/penstock.mjs')} "$@"`);
  await program(
    folder,
    'docker',
    `what=$1; shift
case $what in
push) ${node} load "$1" ;;
build)
  while [ $# -gt 1 ]; do
    case $1 in
    -t) name=$2 ;;
    -f) set -- "$1" "${ROOT}$2" "\${@:3}"; rest+=("$1" "$2") ;;
    *) rest+=("$1" "$2") ;;
    esac
    shift 2
  done
  ${node} build "$name" ${ROOT} "\${rest[@]}" --build-arg VLLM_IMAGE=${base} ;;
esac`,
  );
}

/** @param {string} folder @param {string} name @param {string} script */
async function program(folder, name, script) {
  const file = join(folder, 'bin', name);
  await writeFile(file, `#!/usr/bin/env bash\nset -euo pipefail\nrest=()\n${script}\n`);
  await chmod(file, 0o755);
}

/** A newcomer's pods have no tolerations. @param {Cluster} cluster @param {boolean} alone */
async function onlyRealNode(cluster, alone) {
  await cluster.kubectl([alone ? 'cordon' : 'uncordon', '-l', 'agentpool!=real']);
  await cluster.kubectl(['taint', '--overwrite', 'node', 'real-1', `test/real=true:NoSchedule${alone ? '-' : ''}`]);
}
