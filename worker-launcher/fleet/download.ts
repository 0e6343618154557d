import { dirname, join } from 'node:path';
import { startGuard } from '../engine/guard.ts';
import { startProcess } from '../engine/process.ts';
import { signalGroup } from '../engine/process-group.ts';
import { commandOnPath } from '../preflight/vllm-version.ts';

/** Names of the hub's client, newest first. Source: huggingface_hub, a dependency of vLLM. */
const CLIENTS = ['hf', 'huggingface-cli'];

export interface Download {
  /** @returns undefined when the download is complete, else the client's last line */
  readonly done: Promise<string | undefined>;
  stop(): void;
}

/**
 * Downloads weights with the hub's own client, once, so that several engines don't download them concurrently.
 * @param onLine each line of its output, secrets masked; its progress bars are lines too
 * @returns undefined if no client is installed: vLLM downloads the weights itself
 */
export function downloadWeights(
  asked: {
    readonly name: string;
    readonly revision: string | undefined;
    /** the environment of an engine: cache, token, proxy */
    readonly env: Readonly<Record<string, string>>;
  },
  onLine: (line: string) => void,
): Download | undefined {
  const client = clientOf(asked.env['PATH']);
  if (client === undefined) return undefined;
  const revision = asked.revision === undefined ? [] : ['--revision', asked.revision];
  const guard = startGuard();
  const child = startProcess({ file: client, argv: ['download', asked.name, ...revision], env: asked.env }, onLine);
  if (child.pid !== undefined) guard.watch(child.pid);
  const done = child.exited.then(async ({ code, how }) => {
    guard.release();
    if (code === 0) return undefined;
    return (await child.output()).findLast((line) => line.trim() !== '')?.trim() ?? how;
  });
  return {
    done,
    stop: () => {
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
    },
  };
}

/** The client on PATH, or in the folder of the vLLM on PATH. */
function clientOf(path: string | undefined): string | undefined {
  const vllm = commandOnPath('vllm', path);
  const beside = vllm === undefined ? '' : dirname(vllm);
  for (const name of CLIENTS) {
    const found = commandOnPath(name, path) ?? commandOnPath(name, beside);
    if (found !== undefined) return join(dirname(found), name);
  }
  return undefined;
}
