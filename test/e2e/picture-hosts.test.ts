import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import {
  AFTER_SUCCESS,
  BEFORE_SUCCESS,
  CANARY,
  hostile,
  startStrangeTls,
  startTlsHost,
  type TlsHost,
} from '../support/hostile-hosts.ts';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { startNameServer, type NameServer } from '../support/name-server.ts';
import { png } from '../support/pictures.ts';
import { penstock } from '../support/penstock-command.ts';
import { postJson } from '../support/post.ts';
import { startRawHost, type RawHost } from '../support/raw-host.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { freePort } from '#runtime/free-port';

const TIMEOUT_MS = 1_500;
const PICTURE = png(8, 6);
const Refused = z.object({ error: z.object({ code: z.string(), message: z.string(), param: z.string().nullable() }) });

let folder: string;
let host: RawHost;
let names: NameServer;
let strangeTls: TlsHost;
let stack: Stack;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penstock-hosts-'));
  strangeTls = await startStrangeTls(folder);
  host = await startRawHost((socket, path) => {
    if (path !== '/picture.png') hostile(socket, path);
    else socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n'), PICTURE]));
  });
  names = await startNameServer((name, type) => {
    if (name.startsWith('mute')) return 'silence';
    if (name === 'failing.test') return 'servfail';
    if (name === 'none.test') return [];
    if (name === 'well.test') return type === 'A' ? ['127.0.0.1'] : [];
    if (name === 'inside.test') return type === 'A' ? ['10.0.0.1'] : [];
    if (name === 'half-inside.test') return type === 'A' ? ['127.0.0.1', '127.0.0.2'] : [];
    if (name === 'inside-by-six.test') return type === 'A' ? ['127.0.0.1'] : ['::1'];
    return 'nxdomain';
  });
  stack = await startStack({
    gatewayEnv: {
      GATEWAY_IMAGE_ALLOW: '127.0.0.1',
      GATEWAY_IMAGE_TIMEOUT_MS: String(TIMEOUT_MS),
      GATEWAY_IMAGE_NAME_SERVERS: names.address,
      GATEWAY_LOG_LEVEL: 'debug',
    },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  await Promise.all([host, names, strangeTls].map((server) => server[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

const body = (url: string): object => ({
  messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
  max_tokens: 1,
});
const ask = (url: string) => postJson(`${stack.url}/v1/chat/completions`, body(url));
const refusalOf = ({ status, text }: Awaited<ReturnType<typeof ask>>) => ({
  status,
  ...Refused.parse(JSON.parse(text)).error,
});

/** None of these is a picture, and a caller must not learn what they are. */
async function unreachableUrls(): Promise<string[]> {
  const closed = await freePort();
  const { port } = host;
  return [
    ...Object.keys(BEFORE_SUCCESS).map((path) => host.at(path)),
    ...['unknown', 'none', 'failing', 'inside', 'half-inside', 'inside-by-six', 'mute'].map(
      (name) => `http://${name}.test:${port}/picture.png`,
    ),
    'http://inside.test/a.png',
    'https://inside.test/a.png',
    `http://127.0.0.1:${closed}/a.png`,
    `https://127.0.0.1:${port}/a.png`,
    `https://127.0.0.1:${strangeTls.port}/a.png`,
    `http://127.0.0.1:${strangeTls.port}/a.png`,
    `https://well.test:${strangeTls.port}/a.png`,
    `http://localhost:${stack.redis.server.options.port ?? port}/`,
    ...['10.0.0.1', '127.0.0.2', '169.254.169.254', '168.63.129.16', '[::1]', '[fd00::1]', '0.0.0.0', '2130706434'].map(
      (address) => `http://${address}/a.png`,
    ),
    'http://10.0.0.1:6379/',
    'http://8.8.8.8:22/',
  ];
}

test('N11, N8: every failure before a 2xx answer gets the same message, and the log has no byte of the host', async () => {
  const urls = await unreachableUrls();
  const told = await Promise.all(urls.map(async (url) => ({ url, ...refusalOf(await ask(url)) })));
  const kinds = new Map(told.map(({ url, ...refusal }) => [JSON.stringify(refusal), url]));
  expect([...kinds]).toHaveLength(1);
  expect(told[0]).toMatchObject({
    status: 400,
    code: 'image_fetch_failed',
    param: 'messages[0].content[0].image_url.url',
  });
  // The log has the reason that the caller does not get.
  const output = (): string => stack.gateways[0]?.output() ?? '';
  for (const detail of [
    'ENOTFOUND',
    'ECONNREFUSED',
    'HPE_',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'status 404',
    'timeout (name)',
  ])
    await eventually(`the log has ${detail}`, () => output().includes(detail));
  const log = output();
  expect(log).not.toContain(CANARY);
  expect(log).not.toContain('"level":"error"');
}, 60_000);

test('N8: no part of an answer that fails after its 2xx is in the log or in the caller’s message', async () => {
  for (const { status, text } of await Promise.all(Object.keys(AFTER_SUCCESS).map((path) => ask(host.at(path))))) {
    expect([400, 413]).toContain(status);
    expect(text).not.toContain(CANARY);
  }
  const log = stack.gateways[0]?.output() ?? '';
  expect(log).not.toContain(CANARY);
  expect(log).not.toContain('"level":"error"');
}, 60_000);

test('N1: no host holds its connection, or the gateway, longer than the limit', async () => {
  await eventually('no connection is left', () => host.open.size === 0);
  const startedAt = performance.now();
  const paths = Object.keys({ ...BEFORE_SUCCESS, ...AFTER_SUCCESS }).filter((path) => /endless|slow|silen/.test(path));
  await Promise.all(paths.map((path) => ask(host.at(path))));
  // Tolerance for a busy machine.
  expect(performance.now() - startedAt).toBeLessThan(TIMEOUT_MS + 6_000);
  await eventually('no connection is left', () => host.open.size === 0);
}, 60_000);

test('N1: 40 host names that are never resolved delay 20 honest fetches by at most a second', async () => {
  const patienceMs = 6_000;
  // Its own stack, whose timeout is long enough for all 40 to run concurrently on a busy machine.
  const { url: gateway } = await stack.startGateway({ GATEWAY_IMAGE_TIMEOUT_MS: String(patienceMs) });
  const slowest = async (): Promise<number> => {
    const took = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const startedAt = performance.now();
        const url = `http://${n % 2 === 0 ? 'well.test' : 'localhost'}:${host.port}/picture.png`;
        const { status } = await postJson(`${gateway}/v1/chat/completions`, body(url));
        expect(status).toBe(200);
        return performance.now() - startedAt;
      }),
    );
    return Math.max(...took);
  };
  await slowest();
  const alone = await slowest();
  const before = names.asked.length;
  const mute = Array.from({ length: 40 }, (_, n) =>
    call(`${gateway}/v1/chat/completions`, body(`http://mute-${n}.test/a.png`)),
  );
  const muteAsked = (): number =>
    new Set(names.asked.slice(before).filter((question) => question.startsWith('A mute-'))).size;
  await eventually('all 40 are being resolved', () => muteAsked() === 40, patienceMs);
  const beside = await slowest();
  expect(beside).toBeLessThan(1_000 + 2 * alone);
  for (const { ended } of mute) {
    const { status, tookMs } = await ended;
    expect(status).toBe(400);
    expect(tookMs).toBeLessThan(patienceMs + 6_000);
  }
  process.stdout.write(
    `slowest of 20 fetches: ${alone.toFixed(0)} ms alone, ${beside.toFixed(0)} ms beside 40 mute names\n`,
  );
}, 60_000);

test('N1: limits are per key: a key with all its fetches running delays no other', async () => {
  const file = join(folder, 'keys.yaml');
  const headersOf = async (id: string) => {
    const { stdout } = await penstock(['keys', 'create', '--file', file, '--id', id]);
    return { authorization: `Bearer ${stdout.trim()}` };
  };
  const [hostile, honest] = [await headersOf('hostile'), await headersOf('honest')];
  const { url } = await stack.startGateway({
    GATEWAY_KEYS_FILE: file,
    GATEWAY_IMAGE_LIMIT_KEY_FETCHES: '3',
    GATEWAY_IMAGE_TIMEOUT_MS: '20000',
  });
  const fetching = (name: string, headers: Record<string, string>) =>
    call(`${url}/v1/chat/completions`, body(`http://${name}.test:${host.port}/picture.png`), headers);
  const mutes = new Set<string>();
  const muteAsked = (): Set<string> => {
    for (const question of names.asked) if (question.startsWith('A mute-key')) mutes.add(question);
    return mutes;
  };
  const held = Array.from({ length: 6 }, (_, n) => fetching(`mute-key-${n}`, hostile));
  await eventually('three run', () => muteAsked().size === 3);
  const behind = fetching('well', hostile);
  expect(await fetching('well', honest).ended).toMatchObject({ status: 200 });
  expect(muteAsked().size).toBe(3);
  for (const one of held) one.leave('close');
  expect(await behind.ended).toMatchObject({ status: 200 });
}, 60_000);

test('a picture is fetched over TLS from a host with a valid certificate, by name and by address', async () => {
  const answer = Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), PICTURE]);
  await using tls = await startTlsHost(folder, '/CN=well', 'DNS:well.test,IP:127.0.0.1', answer);
  const { url } = await stack.startGateway({ NODE_EXTRA_CA_CERTS: tls.certificate });
  for (const [name, status] of [
    ['well.test', 200],
    ['well.test.', 200],
    ['127.0.0.1', 200],
    ['localhost', 400],
  ] as const) {
    const answered = await postJson(`${url}/v1/chat/completions`, body(`https://${name}:${tls.port}/a.png`));
    expect([name, answered.status]).toEqual([name, status]);
  }
  expect(tls.names.slice(0, 3)).toEqual(['well.test', 'well.test', '']);
}, 60_000);
