import { copyFile, mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { startPictureServer } from '../bad-requests/picture-server.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { dataUri, png } from '../support/pictures.ts';
import { scriptedEngine, startScriptedDispatcher } from '../support/scripted-stack.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { startRecordingEngine, type RecordingEngine } from './recording-engine.ts';
import { Gateways, readYaml } from './rows.ts';

/** of the gateway that every stack has */
const SHIPPED = 'Phi-3-vision-128k-instruct';
const SERVED = [SHIPPED, 'Phi-4', 'Example-text-generation'];

type Gateway = Stack['gateways'][number];

/** The targets of rows: gateways with keys over one Redis, a dispatcher for each model, one recording engine. */
export interface Places extends AsyncDisposable {
  readonly engine: RecordingEngine;
  /** values of `$KEY`, `$PNG`, `$PICTURES` and `$LONG` in a row */
  readonly values: Readonly<Record<string, string>>;
  readonly stack: Stack;
  /** A gateway, started at its first use. @throws Error with its output if it does not start */
  gateway(name: string | undefined): Promise<Gateway>;
}

export async function startPlaces(): Promise<Places> {
  const folder = temporaryFolder();
  const keyFile = join(folder.path, 'keys.yaml');
  const { stdout, stderr } = await penstock(['keys', 'create', '--file', keyFile, '--id', 'rows']);
  const key = stdout.trim();
  if (key === '') throw new Error(stderr);
  const pictures = await startPictureServer();
  const engine = await startRecordingEngine();
  const env = { GATEWAY_KEYS_FILE: keyFile, GATEWAY_IMAGE_ALLOW: '127.0.0.1', GATEWAY_LOG_LEVEL: 'warn' };
  const stack = await startStack({ launchers: 0, gatewayEnv: env });
  const [shipped] = stack.gateways;
  if (shipped === undefined) throw new Error('the stack has no gateway');
  const dispatchers = await Promise.all(
    SERVED.map((model) => startScriptedDispatcher(stack, [scriptedEngine(model, engine.engine)], model === SHIPPED)),
  );
  const leave = new AbortController();

  const gateways = readYaml('gateways.yaml', Gateways);
  const start = async (name: string): Promise<Gateway> => {
    const { cards = [], env: settings, occupied } = gateways[name] ?? {};
    const models = join(folder.path, name);
    await mkdir(models);
    for (const card of cards) await copyFile(card, join(models, basename(card)));
    const gateway = await stack.startGateway({ GATEWAY_MODELS_DIR: models, ...settings });
    if (occupied === true) {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      const body = JSON.stringify({ messages: [{ role: 'user', content: 'I wait.' }] });
      const url = `${gateway.url}/v1/chat/completions`;
      void fetch(url, { method: 'POST', headers, body, signal: leave.signal }).catch(() => {});
      await eventually('a request waits', async () => (await stack.metric('penstock_jobs_added_total', gateway)) > 0);
    }
    return gateway;
  };
  const started = new Map<string, Promise<Gateway>>();
  return {
    engine,
    stack,
    values: { KEY: key, PNG: dataUri(png(64, 48)), PICTURES: pictures.url, LONG: 'long '.repeat(1_000) },
    gateway: (name = 'default') => {
      const gateway = started.get(name) ?? (name === 'default' ? Promise.resolve(shipped) : start(name));
      started.set(name, gateway);
      return gateway;
    },
    async [Symbol.asyncDispose]() {
      leave.abort();
      for (const dispatcher of dispatchers) await dispatcher[Symbol.asyncDispose]();
      await stack[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
      await pictures[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}
