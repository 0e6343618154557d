import { spawn } from 'node:child_process';
import type { Engine } from '../engine/engine.ts';

const CORE = `
process.title = 'VLLM::EngineCore';
process.on('SIGTERM', () => {});
process.on('SIGINT', () => {});
setInterval(() => {}, 2 ** 30);
`;

/**
 * With `--sim-core-process`: a child process that stands for vLLM's engine core. If it is killed, the engine dies. An
 * orderly exit ends it. If the server is killed with SIGKILL, it runs on, as with vLLM (#55510, #34643).
 */
export function startCoreProcess(engine: Engine): void {
  const core = spawn(process.execPath, ['-e', CORE], { stdio: 'ignore' });
  core.unref();
  core.on('exit', () => engine.die());
  const end = (): void => void core.kill('SIGKILL');
  engine.onDeath(end);
  process.on('exit', end);
}
