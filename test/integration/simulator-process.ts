import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { freePort } from '#runtime/free-port';

const ENTRY = join(resolve(import.meta.dirname, '../..'), 'dist/worker-launcher/simulator/main.js');
const NAME = 'phi';

/** A simulator as a launcher starts it: the built program, as a child process. */
export interface SimulatorProcess extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly output: () => string;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** 0 if the connection is refused or reset */
  readonly health: () => Promise<number>;
  readonly ask: (body: object, signal?: AbortSignal) => Promise<Response>;
  /** value of the first series of this name */
  readonly metric: (name: string) => Promise<number>;
  readonly fault: (changes: object) => Promise<Response>;
}

/** Starts a simulator and waits until it is ready, unless `isReady` is false. */
export async function startSimulator(
  flags: readonly string[] = [],
  options: { readonly env?: NodeJS.ProcessEnv; readonly isReady?: boolean; readonly port?: number } = {},
): Promise<SimulatorProcess> {
  const port = options.port ?? (await freePort());
  const argv = ['serve', 'model', '--served-model-name', NAME, '--host', '127.0.0.1', '--port', String(port), ...flags];
  const child = spawn(process.execPath, [ENTRY, ...argv], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (bytes) => (output += String(bytes)));
  child.stderr.on('data', (bytes) => (output += String(bytes)));
  // `close` is emitted after the last line was read.
  const exited = once(child, 'close').then(() => ({ code: child.exitCode, signal: child.signalCode }));
  const url = `http://127.0.0.1:${port}`;
  const health = (): Promise<number> =>
    fetch(`${url}/health`)
      .then((res) => res.status)
      .catch(() => 0);
  const simulator: SimulatorProcess = {
    url,
    port,
    pid: child.pid ?? 0,
    output: () => output,
    exited,
    kill: (signal) => void child.kill(signal),
    health,
    ask: (body, signal) =>
      post(`${url}/v1/chat/completions`, { messages: [{ role: 'user', content: 'Say hello.' }], ...body }, signal),
    async metric(name) {
      const page = await (await fetch(`${url}/metrics`)).text();
      return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (.*)$`, 'm').exec(page)?.[1]);
    },
    fault: (changes) => post(`${url}/sim/faults`, changes),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
  if (options.isReady !== false) await eventually(`ready\n${output}`, async () => (await health()) === 200);
  return simulator;
}

function post(url: string, body: object, signal?: AbortSignal): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(url, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Events of a stream, `[DONE]` included. If the body breaks off, the last one is `cut`. */
export async function eventsOf(res: Response): Promise<string[]> {
  let text = '';
  let isCut = false;
  const decoder = new TextDecoder();
  try {
    for await (const chunk of (res.body ?? []) as AsyncIterable<Uint8Array>)
      text += decoder.decode(chunk, { stream: true });
  } catch {
    isCut = true;
  }
  const events = text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => event.replace(/^data: /, ''));
  return isCut ? [...events, 'cut'] : events;
}

/** The text in the events of a stream. */
export function textOf(events: readonly string[]): string {
  return events
    .flatMap((event) => [
      ...(/"delta":\{(?:"role":"assistant",)?"content":("(?:[^"\\]|\\.)*")/g.exec(event)?.slice(1) ?? []),
    ])
    .map((json) => String(JSON.parse(json)))
    .join('');
}
