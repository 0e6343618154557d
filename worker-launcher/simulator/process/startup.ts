import { once } from 'node:events';
import type { Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { START_FAILURES } from '../command-line/fault-set.ts';
import { logLine, serverLine } from '../log.ts';
import { StartError, type SimulatorSettings } from '../command-line/settings.ts';

type Progress = readonly [process: 'APIServer' | 'EngineCore' | 'Worker', source: string, text: string];

/** vLLM's log lines from its flags to its first route, in order. Source: recorded start logs. */
function progressLines({ model, maxModelLength, kvTokens, version, isVision, startMs }: SimulatorSettings): Progress[] {
  const seconds = (startMs / 1000).toFixed(2);
  const concurrency = (kvTokens / maxModelLength).toFixed(2);
  const picture: Progress[] = isVision ? [['APIServer', 'base.py:280', 'Multi-modal warmup completed in 0.001s']] : [];
  return [
    ['APIServer', 'model.py:733', `Resolved architecture: ${isVision ? 'Phi3VForCausalLM' : 'Phi3ForCausalLM'}`],
    ['APIServer', 'model.py:2152', `Using max model len ${maxModelLength}`],
    ...picture,
    ['EngineCore', 'core.py:133', `Initializing a V1 LLM engine (v${version}.0) with config: model='${model}'`],
    [
      'Worker',
      'parallel_state.py:1906',
      'world_size=1 rank=0 local_rank=0 distributed_init_method=simulated backend=none',
    ],
    ['Worker', 'gpu_model_runner.py:68', `Starting to load model ${model}...`],
    ['Worker', 'default_loader.py:308', 'Loading weights took 0.00 seconds'],
    ['Worker', 'gpu_model_runner.py:90', 'Model loading took 7.91 GiB memory and 0.00 seconds'],
    ['Worker', 'monitor.py:34', 'torch.compile took 0.00 s in total'],
    ['Worker', 'gpu_worker.py:260', 'Available KV cache memory: 62.30 GiB'],
    [
      'EngineCore',
      'kv_cache_utils.py:2327',
      `GPU KV cache size: ${kvTokens.toLocaleString('en-US')} tokens, Maximum concurrency for ${maxModelLength.toLocaleString('en-US')} tokens per request: ${concurrency}x`,
    ],
    ['Worker', 'gpu_model_runner.py:120', 'Graph capturing finished in 0 secs, took 0.00 GiB'],
    ['EngineCore', 'core.py:402', `init engine (profile, create kv cache, warmup model) took ${seconds} s`],
    ['APIServer', 'entry.py:136', "Supported tasks: ['generate']"],
  ];
}

/**
 * Starts as vLLM does: progress lines, spread over `--sim-start-ms`, and only then a listening port.
 * @throws StartError if the address is in use
 */
export async function startUp(server: Server, settings: SimulatorSettings): Promise<void> {
  logLine(
    'APIServer',
    'INFO',
    'api_utils.py:347',
    `version ${settings.version}.0 (simulated), model ${settings.model}`,
  );
  logLine('APIServer', 'INFO', 'api_utils.py:286', `non-default args: ${JSON.stringify(settings.given)}`);
  const lines = progressLines(settings);
  for (const [process_, source, text] of lines) {
    if (settings.startMs > 0) await pause(settings.startMs / lines.length);
    logLine(process_, 'INFO', source, text);
    if (text.startsWith('Starting to load model')) await failIfAsked(settings);
  }
  const { host, port, socketPath } = settings;
  server.listen(socketPath === undefined ? { host, port, backlog: 2048 } : { path: socketPath });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new StartError(startProblem(error));
  }
  const address = server.address();
  const where =
    address === null || typeof address === 'string' ? `unix:${socketPath ?? ''}` : `http://${host}:${address.port}`;
  logLine('APIServer', 'INFO', 'entry.py:140', `Starting vLLM server on ${where}`);
  serverLine(`Started server process [${process.pid}]`);
  serverLine('Waiting for application startup.');
  serverLine('Application startup complete.');
}

/** @throws StartError for `fail-start`; with `fail-start=hang` it never returns */
async function failIfAsked({ faults }: SimulatorSettings): Promise<void> {
  const cause = faults['fail-start'];
  if (cause === undefined) return;
  const failure = START_FAILURES[cause];
  if (failure !== undefined) throw new StartError(failure.text);
  await new Promise<never>(() => setInterval(() => undefined, 1 << 30));
}

function startProblem(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return 'OSError: [Errno 98] Address already in use';
  return error instanceof Error ? `OSError: ${error.message}` : String(error);
}
