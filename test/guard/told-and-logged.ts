import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { AFTER_SUCCESS, BEFORE_SUCCESS, CANARY } from '../support/hostile-hosts.ts';
import { freePort } from '#runtime/free-port';
import { must, type Check } from './check.ts';
import { pictureQuestion, QUESTION, type Stand } from './stand.ts';

const Refused = z.object({ error: z.object({ code: z.string(), message: z.string() }) });
const LONGEST_LINE = 4_000;
const Line = z.looseObject({ level: z.string(), outcome: z.string().optional() });

/** The log from here on. */
function logFrom(stand: Stand): () => string {
  const before = stand.gateway.output();
  const mark = before.slice(-200);
  return () => {
    const all = stand.gateway.output();
    return all.slice(all.lastIndexOf(mark) + mark.length);
  };
}

async function unreachable(stand: Stand): Promise<string> {
  const log = logFrom(stand);
  const { port } = stand.host;
  const urls = [
    ...Object.keys(BEFORE_SUCCESS).map((path) => stand.host.at(path)),
    ...['unknown', 'failing', 'inside', 'mute'].map((name) => `http://${name}.test:${port}/picture.png`),
    `http://127.0.0.1:${await freePort()}/a.png`,
    `https://127.0.0.1:${port}/a.png`,
    `https://127.0.0.1:${stand.tls.port}/a.png`,
    ...[
      '10.0.0.1',
      '127.0.0.2',
      '169.254.169.254',
      '168.63.129.16',
      '[::1]',
      '[fd00::1]',
      '[::ffff:10.0.0.1]',
      '0.0.0.0',
      '2130706434',
      '0x7f000002',
      '0177.0.0.2',
    ].map((address) => `http://${address}/a.png`),
    'http://10.0.0.1:6379/',
    'http://8.8.8.8:22/',
    stand.stack.redis.url.replace('redis:', 'http:').replace('127.0.0.1', 'localhost'),
  ];
  const told = await Promise.all(
    urls.map(async (url) => (await stand.ask(pictureQuestion(url), 'hostile').ended).body),
  );
  const kinds = new Set(told.map((body) => JSON.stringify(Refused.parse(JSON.parse(body)).error)));
  must(kinds.size === 1, `told in ${kinds.size} ways: ${[...kinds].join('; ').slice(0, 600)}`);
  must(!log().includes(CANARY), 'the log has bytes of a host');
  return `${urls.length} URLs, one code and one sentence`;
}

async function brokenHosts(stand: Stand): Promise<string> {
  const log = logFrom(stand);
  const paths = Object.keys(AFTER_SUCCESS);
  const told = await Promise.all(paths.map((path) => stand.ask(pictureQuestion(stand.host.at(path)), 'hostile').ended));
  for (const { status, body } of told)
    must((status === 400 || status === 413) && !body.includes(CANARY), `told ${status} ${body.slice(0, 300)}`);
  const lines = log();
  must(!lines.includes(CANARY), 'the log has bytes of a host');
  must(!lines.includes('"level":"error"'), 'the log calls it our error');
  return `${paths.length} ways to break an answer, no byte of them told or logged`;
}

async function ownWords(stand: Stand): Promise<string> {
  const log = logFrom(stand);
  const word = 'zanzibarcanary';
  const bodies = [
    { ...QUESTION, [word]: word, messages: [{ role: word, content: word }] },
    { ...QUESTION, stop: [word, ''] },
    { ...QUESTION, model: word },
    {
      ...QUESTION,
      messages: [{ role: 'user', content: word }],
      response_format: { type: 'json_schema', json_schema: { name: word, schema: { [word]: word, pattern: '(' } } },
    },
    pictureQuestion(`http://127.0.0.1:1/${word}?${word}#${word}`),
    pictureQuestion(`data:image/png;base64,${Buffer.from(word.repeat(9)).toString('base64')}`),
    { ...QUESTION, messages: [{ role: 'user', content: word }] },
  ];
  for (const body of bodies) await stand.ask(body, 'hostile').ended;
  for (const path of [
    `/v1/${'x'.repeat(15_000)}`,
    `/v1/models/${word}`,
    `/openai/deployments/${word}/chat/completions`,
  ]) {
    const answer = stand.send(path, '{}');
    await answer.settled;
    answer.socket.destroy();
  }
  await stand.ask({ ...QUESTION, user: 'last' }).ended;
  const lines = await eventually('the log has the last one', () =>
    log().split('\n').length > bodies.length ? log().split('\n') : false,
  );
  const longest = Math.max(...lines.map(({ length }) => length));
  const said = lines.filter((line) => line.includes(word));
  must(said.length === 0, `the log has words of a caller: ${said.join(' ').slice(0, 500)}`);
  must(longest < LONGEST_LINE, `a line of the log has ${longest} characters`);
  return `${bodies.length} requests and 3 paths; no word of them in the log, the longest line has ${longest} characters`;
}

async function leaving(stand: Stand): Promise<string> {
  const log = logFrom(stand);
  const held = stand.ask(pictureQuestion(stand.host.at('/silence')), 'hostile');
  await eventually('its picture is being fetched', () => stand.host.open.size > 0);
  held.leave('close');
  const line = await eventually('its line', () =>
    log()
      .split('\n')
      .find((one) => one.includes('client_closed') && one.endsWith('}')),
  );
  const { level, outcome } = Line.parse(JSON.parse(line));
  must(level === 'info' && outcome === 'client_closed', line);
  must(!log().includes('"level":"error"'), 'the log calls it our error');
  return `logged as ${outcome}, ${level}`;
}

/** The first Redis writes all its data to its file. */
async function atRest(stand: Stand): Promise<string> {
  const word = 'kilimanjarocanary';
  const question = { ...QUESTION, messages: [{ role: 'user', content: word }] };
  for (const body of [question, { ...question, stream: true }])
    must((await stand.ask(body).ended).status === 200, 'a request was not served');
  const { redis, replyRedis } = stand.stack;
  const dump: string[] = [];
  for (const { client } of [redis, replyRedis])
    for (const key of await client.keys('*')) dump.push(key, String(await client.dumpBuffer(key)));
  must(!dump.join('\n').includes(word), 'a prompt rests in a Redis');
  must(!dump.join('\n').includes('chat.completion'), 'an answer rests in a Redis');
  const [, folder = ''] = (await redis.client.config('GET', 'dir')) as string[];
  const files = await filesIn(folder);
  for (const [name, bytes] of files) must(!bytes.includes(word), `a prompt is in ${name}`);
  return `${dump.length / 2} keys of both Redis and ${files.length} files of the first: nothing`;
}

async function filesIn(folder: string): Promise<[string, Buffer][]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map(async ({ name, path }) => [name, await readFile(join(path, name))]));
}

export const TOLD_AND_LOGGED: readonly Check[] = [
  { row: 'N8', name: 'picture hosts whose HTTP breaks', sent: 'a picture URL of each kind', run: brokenHosts },
  {
    row: 'N11',
    name: 'picture URLs as a scanner',
    sent: 'names, addresses, ports, redirects, statuses',
    run: unreachable,
  },
  { row: 'N12', name: 'what rests after an answer', sent: 'a prompt, streamed and not', run: atRest },
  { row: 'N15', name: 'words of callers in the log', sent: 'fields, names, paths of 15 kB, URLs', run: ownWords },
  { row: 'N16', name: 'a client that leaves while its picture is fetched', sent: 'one request', run: leaving },
];
