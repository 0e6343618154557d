import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { hostile, startStrangeTls, type TlsHost } from '../support/hostile-hosts.ts';
import { startNameServer, type NameServer } from '../support/name-server.ts';
import { penstock } from '../support/penstock-command.ts';
import { noisePng, png } from '../support/pictures.ts';
import { startRawHost, type RawHost } from '../support/raw-host.ts';
import { postHead, rawHttp, type RawHttp } from '../support/raw-http.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { either } from '../support/full-length.ts';
import { WatchedLoop } from '../support/watched-loop.mjs';
import { WatchedStreams } from './watched-streams.ts';

export const CHAT = '/v1/chat/completions';
export const QUESTION = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 };
/** Settings of the attacked gateway; short timeouts, so that the test sees them. */
export const LIMITS = { headMs: 3_000, bodyMs: 4_000, pictureMs: 3_000 };
export const STREAMS = either(20, 8);
const SILENT_MS = 30_000;
const PARKED = 'parked';
type Gateway = Stack['gateways'][number];

/** What all checks share: a stack with keys and one gateway without, picture hosts and name servers of all kinds. */
export interface Stand extends AsyncDisposable {
  readonly stack: Stack;
  /** has keys; its event loop is watched */
  readonly gateway: Gateway;
  readonly pid: number;
  /** has no keys */
  readonly open: Gateway;
  readonly loop: WatchedLoop;
  readonly host: RawHost;
  readonly tls: TlsHost;
  readonly names: NameServer;
  /** Streams of an honest caller through the attacked gateway; they run from the first call on. */
  streams(): Promise<WatchedStreams>;
  /** One more gateway with the same keys. */
  startGateway(env?: Readonly<Record<string, string>>): Promise<Gateway>;
  keyOf(who: Caller): string;
  /** POST of JSON by one of the callers. */
  ask(body: object, who?: Caller, path?: string): ReturnType<typeof call>;
  /** The request that an engine would get, read from a gateway without engines, where it waits. */
  engineBody(body: object, key?: string, path?: string): Promise<string>;
  /** Sends bytes as the hostile caller; status 0 if no answer arrives in time. */
  send(path: string, body: string | Buffer, ...headers: readonly string[]): RawHttp & { settled: Promise<number> };
}
/** The callers with keys, each with its models. */
const CALLERS = { hostile: 'Phi-3-vision-128k-instruct', honest: 'Phi-3-vision-128k-instruct', bystander: 'Phi-4' };
type Caller = keyof typeof CALLERS;
const CARDS = { 'phi-3-vision.yaml': 'phi-3-vision-128k-instruct.yaml', 'phi-4.yaml': 'more/phi-4.yaml' };

export async function startStand(): Promise<Stand> {
  const folder = temporaryFolder();
  const keysFile = join(folder.path, 'keys.yaml');
  const keys = new Map<string, string>();
  for (const [id, models] of Object.entries(CALLERS)) {
    const create = ['keys', 'create', '--file', keysFile, '--id', id, '--models', models];
    keys.set(id, (await penstock(create)).stdout.trim());
  }
  const keyOf = (who: Caller): string => keys.get(who) ?? '';
  const cards = join(folder.path, 'cards');
  await mkdir(cards);
  for (const [name, card] of Object.entries(CARDS)) await copyFile(`deploy/models/${card}`, join(cards, name));
  const [tiny, whole] = [png(8, 6), noisePng(400, 400)];
  const host = await startRawHost((socket, path) => {
    const picture = path === '/picture.png' ? tiny : path === '/large.png' ? whole : undefined;
    if (picture === undefined) hostile(socket, path);
    else socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n'), picture]));
  });
  const tls = await startStrangeTls(folder.path);
  const names = await startNameServer((name, type) => {
    if (name.startsWith('mute')) return 'silence';
    if (name === 'failing.test') return 'servfail';
    if (name === 'well.test') return type === 'A' ? ['127.0.0.1'] : [];
    if (name === 'inside.test') return type === 'A' ? ['10.0.0.1'] : [];
    return 'nxdomain';
  });
  const loop = new WatchedLoop(folder.path);
  const gatewayEnv = {
    GATEWAY_MODELS_DIR: cards,
    GATEWAY_IMAGE_ALLOW: '127.0.0.1',
    GATEWAY_IMAGE_NAME_SERVERS: names.address,
    GATEWAY_IMAGE_TIMEOUT_MS: String(LIMITS.pictureMs),
    GATEWAY_HEAD_TIMEOUT_MS: String(LIMITS.headMs),
    GATEWAY_BODY_TIMEOUT_MS: String(LIMITS.bodyMs),
    GATEWAY_TOKENIZE: 'true',
    GATEWAY_LOG_LEVEL: 'debug',
  };
  const stack = await startStack({
    gatewayEnv,
    twoRedis: true,
    // Watched streams have their own engines, so that only the gateway can delay them.
    launchers: 2,
    workerEnv: { WORKER_MODELS_DIR: cards, PENSTOCK_SIM_ITL_MS: '20' },
    launcherEnvs: [{ WORKER_MODEL: CALLERS.hostile }, { WORKER_MODEL: CALLERS.bystander }],
  });
  const startGateway = (env: Readonly<Record<string, string>> = {}): Promise<Gateway> =>
    stack.startGateway({ GATEWAY_KEYS_FILE: keysFile, ...env });
  const [open] = stack.gateways;
  const gateway = await startGateway(loop.env);
  const { pid } = gateway.child;
  if (open === undefined || pid === undefined) throw new Error('a gateway did not start');
  let parked: Promise<Gateway> | undefined;
  let streams: Promise<WatchedStreams> | undefined;
  return {
    stack,
    gateway,
    pid,
    open,
    loop,
    host,
    tls,
    names,
    startGateway,
    keyOf,
    streams: () => (streams ??= WatchedStreams.start(gateway.url, keyOf('bystander'), STREAMS)),
    ask: (body, who = 'honest', path = CHAT) =>
      call(gateway.url + path, body, { authorization: `Bearer ${keyOf(who)}` }),
    engineBody: async (body, key = keyOf('hostile'), path = CHAT) => {
      const { url } = await (parked ??= startGateway({ GATEWAY_REDIS_PREFIX: PARKED }));
      const waiting = call(url + path, body, { authorization: `Bearer ${key}` });
      const { client } = stack.replyRedis;
      const found = await eventually('its body waits', async () => (await client.keys(`{${PARKED}:*:body:*`))[0]);
      const text = (await client.get(found)) ?? '';
      waiting.leave('close');
      await eventually('its body is removed', async () => (await client.exists(found)) === 0);
      return text;
    },
    send: (path, body, ...headers) => {
      const length = headers.some((line) => /^(?:content-length|transfer-encoding):/.test(line))
        ? []
        : [`content-length: ${Buffer.byteLength(body)}`];
      const head = postHead(path, `authorization: Bearer ${keyOf('hostile')}`, ...headers, ...length);
      const sent = rawHttp(gateway.url, head);
      sent.socket.write(body);
      const timer = setTimeout(() => sent.socket.destroy(), SILENT_MS);
      const settled = sent.status.finally(() => clearTimeout(timer));
      return { ...sent, settled };
    },
    async [Symbol.asyncDispose]() {
      await (await streams)?.[Symbol.asyncDispose]();
      await stack[Symbol.asyncDispose]();
      await Promise.all([host, tls, names].map((server) => server[Symbol.asyncDispose]()));
      folder[Symbol.dispose]();
    },
  };
}

/** A question with a picture. */
export function pictureQuestion(url: string): object {
  return { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }], max_tokens: 1 };
}
