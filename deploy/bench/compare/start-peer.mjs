// @ts-check
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { freePort } from '../../local/up/ports.mjs';
import { MODEL } from './loads.mjs';
import { DURABLE, startRedis } from './redis.mjs';

/**
 * @typedef {import('./peers.mjs').Place} Place
 * @typedef {import('./peers.mjs').Running} Running
 * @typedef {object} Command of a gateway that is one process with its children
 * @property {string} file
 * @property {readonly string[]} args
 * @property {Record<string, string>} [env]
 * @property {string} [cwd]
 * @property {Record<string, string>} [headers] of every request
 */
const PROGRAMS = fileURLToPath(new URL('../peers/', import.meta.url));

/** @param {Place} place */
async function startEngine({ processes, engineCores }) {
  const port = await freePort();
  const args = [join(PROGRAMS, 'engine.mjs'), '--port', String(port), '--served-model-name', MODEL];
  args.push('--processes', String(engineCores?.length ?? 1));
  const pid = processes.start({ name: 'engine', file: process.execPath, args, cores: engineCores });
  return { port, pid, url: `http://127.0.0.1:${port}` };
}

/**
 * @param {Place} place
 * @param {string} name
 * @param {(port: number, engine: string) => Promise<Command>} commandOf
 * @returns {Promise<Running>}
 */
async function startBeforeEngine(place, name, commandOf) {
  const engine = await startEngine(place);
  const port = await freePort();
  const { headers = {}, ...command } = await commandOf(port, engine.url);
  const pid = place.processes.start({ ...command, name, cores: place.core(0) });
  return { ports: [port], headers, enginePids: [engine.pid], watched: { [name]: { pid, tree: true } }, log: name };
}

/** The engine alone. @param {Place} place @returns {Promise<Running>} */
export async function startDirect(place) {
  const { port, pid } = await startEngine(place);
  return { ports: [port], headers: {}, enginePids: [pid], watched: {}, log: 'engine' };
}

/** @param {Place} place @returns {Promise<Running>} */
export function startNginx(place) {
  return startBeforeEngine(place, 'nginx', async (port, engine) => {
    const { cache, folder } = place;
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path ${join(folder, kind)};`,
    );
    const config = join(folder, 'nginx.conf');
    await writeFile(
      config,
      `daemon off; worker_processes 1; pid ${join(folder, 'nginx.pid')}; error_log stderr;
events { worker_connections 8192; }
http { access_log off; client_max_body_size 20m; client_body_buffer_size 2m; keepalive_requests 1000000; ${temporary.join(' ')}
  upstream engine { server ${new URL(engine).host}; keepalive 4096; keepalive_requests 1000000; }
  server { listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }
`,
    );
    return { file: join(cache, 'nginx/usr/sbin/nginx'), args: ['-c', config, '-p', folder, '-e', 'stderr'] };
  });
}

/** @param {Place} place @param {'express' | 'express-json'} program @returns {Promise<Running>} */
export function startExpress(place, program) {
  return startBeforeEngine(place, program, async (port, engine) => ({
    file: process.execPath,
    args: [join(PROGRAMS, `${program}.mjs`)],
    env: { PORT: String(port), ENGINE_URL: engine, NODE_ENV: 'production' },
  }));
}

/** @param {Place} place @returns {Promise<Running>} */
export async function startExpressWithQueue(place) {
  const redis = await startRedis(place, 1, DURABLE);
  const running = await startBeforeEngine(place, 'express-bullmq', async (port, engine) => ({
    file: process.execPath,
    args: [join(PROGRAMS, 'express-bullmq.mjs')],
    env: { PORT: String(port), ENGINE_URL: engine, NODE_ENV: 'production', REDIS_URL: redis.url },
  }));
  return { ...running, watched: { ...running.watched, Redis: { pid: redis.pid, tree: false } } };
}

/** @param {Place} place @returns {Promise<Running>} */
export function startPortkey(place) {
  return startBeforeEngine(place, 'portkey', async (port, engine) => ({
    file: process.execPath,
    args: [
      '--import',
      pathToFileURL(join(PROGRAMS, 'loopback.mjs')).href,
      join(place.cache, 'portkey/node_modules/@portkey-ai/gateway/build/start-server.js'),
      `--port=${port}`,
      '--headless',
    ],
    env: { NODE_ENV: 'production' },
    headers: {
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `${engine}/v1`,
      authorization: 'Bearer none',
    },
  }));
}

/** How LiteLLM's proxy is started by Python. @param {string} config its file @param {number} port */
export function litellmCommand(config, port) {
  return {
    args: [
      '-c',
      'from litellm import run_server; run_server()',
      '--config',
      config,
      '--host',
      '127.0.0.1',
      '--port',
      String(port),
    ],
    env: {
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      LITELLM_LOG: 'ERROR',
      // It refuses to start without a key. Here it serves loopback only.
      LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: 'true',
    },
  };
}

/** @param {Place} place @param {boolean} rust @returns {Promise<Running>} */
export function startLitellm(place, rust) {
  const name = rust ? 'litellm-rust' : 'litellm';
  return startBeforeEngine(place, name, async (port, engine) => {
    const folder = join(place.folder, name);
    await mkdir(folder);
    const config = join(folder, 'config.yaml');
    const params = { model: `openai/${MODEL}`, api_base: `${engine}/v1`, api_key: 'none' };
    // JSON is YAML too.
    await writeFile(config, JSON.stringify({ model_list: [{ model_name: MODEL, litellm_params: params }] }));
    const { args, env } = litellmCommand(config, port);
    return {
      file: 'python3',
      args: [...args, '--num_workers', '1', '--telemetry', 'False'],
      env: { ...pythonOf(place, 'litellm'), ...env, LITELLM_RUST: String(rust) },
      cwd: folder,
    };
  });
}

/**
 * The three routers in Rust have one command line.
 * @param {Place} place
 * @param {string} name
 * @param {readonly string[]} [args]
 * @returns {Promise<Running>}
 */
export function startRouter(place, name, args = []) {
  return startBeforeEngine(place, name, async (port, engine) => ({
    file: 'python3',
    args: [
      '-m',
      `${name.replace('-', '_')}.launch_router`,
      '--host',
      '127.0.0.1',
      '--port',
      String(port),
      '--worker-urls',
      engine,
      '--policy',
      'round_robin',
      '--log-level',
      'error',
      '--prometheus-host',
      '127.0.0.1',
      '--prometheus-port',
      String(await freePort()),
      '--max-concurrent-requests',
      '8192',
      ...args,
    ],
    env: pythonOf(place, name),
  }));
}

/** @param {Place} place @param {string} name of its folder in the cache */
function pythonOf({ cache }, name) {
  // The libraries of a pack are for Node, nginx and Redis only.
  return { PYTHONPATH: join(cache, name), PYTHONDONTWRITEBYTECODE: '1', LD_LIBRARY_PATH: '' };
}
