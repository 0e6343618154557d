import { startCoreProcess } from './process/core-process.ts';
import { FaultSet, START_FAILURES } from './command-line/fault-set.ts';
import { FlagError } from './command-line/flags.ts';
import { logLine } from './log.ts';
import { createHttpServer } from './server/server.ts';
import { loadSettings, StartError } from './command-line/settings.ts';
import { watchForTheEnd } from './process/shutdown.ts';
import { createSimulator } from './simulator.ts';
import { startUp } from './process/startup.ts';

const USAGE = `usage: vllm serve [model_tag] [options]

Penstock's stand-in for vLLM: its flags, routes and answers, without a model.
Own options, each also as PENSTOCK_SIM_<NAME>:
  --sim-ttft-ms MS            time to the first token (0)
  --sim-itl-ms MS             time between two tokens (0)
  --sim-merge-every N         every Nth token is sent in one event with the next, as a busy vLLM does (0: none)
  --sim-profile NAME          none, h100 or a100: times that grow with the load (none)
  --sim-vllm-version V        0.32 or 0.33 (0.33)
  --sim-architecture NAME     phi3v or phi3, which takes no pictures (phi3v)
  --sim-start-ms MS           length of the start (0)
  --sim-core-process          a child process that stands for the engine core
  --sim-ledger FILE           appends a line of JSON for each arrival, token and end
  --sim-faults LIST           faults that are active from the start: name or name=value, separated by commas.
                              Later: POST /sim/faults {"name": value}, null for off; DELETE, GET
                              ${Object.keys(FaultSet.shape).join(', ')}
                              causes of fail-start: ${Object.keys(START_FAILURES).join(', ')}
`;

async function main(argv: readonly string[]): Promise<void> {
  const [command, ...rest] = argv;
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(USAGE);
    return;
  }
  if (command === '--version' || command === '-v') {
    process.stdout.write(`${loadSettings([], process.env).version}.0\n`);
    return;
  }
  if (command !== 'serve') {
    throw new FlagError(`vllm: error: argument subparser: invalid choice: '${command ?? ''}' (choose from 'serve')`);
  }
  const settings = loadSettings(rest, process.env);
  const simulator = createSimulator(settings);
  const server = createHttpServer(simulator);
  // A starting vLLM does not obey SIGTERM.
  const ignore = (): void => undefined;
  process.on('SIGTERM', ignore);
  await startUp(server, settings);
  if (settings.hasCoreProcess) startCoreProcess(simulator.engine);
  watchForTheEnd(server, simulator);
  process.off('SIGTERM', ignore);
  simulator.faults.apply();
}

// A stopped launcher no longer reads the output. The simulator runs on.
process.stdout.on('error', () => undefined);

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof FlagError) {
    process.stderr.write(`usage: vllm serve [model_tag] [options]\n${error.message}\n`);
    process.exitCode = 2;
  } else {
    const text =
      error instanceof StartError ? error.message : error instanceof Error ? (error.stack ?? '') : String(error);
    for (const line of text.split('\n')) logLine('APIServer', 'ERROR', 'entry.py:150', line);
    process.exitCode = 1;
  }
}
