// @ts-check
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { crc32, deflateSync } from 'node:zlib';

/** Side of the picture: as base64 of random grey pixels it has 1.5 MB. */
const SIDE = 1_060;
const ROUNDS = 10;
const A_ROUND = 100;
/** Pictures before the measurement, because code runs many times slower before it is compiled. */
const WARM_UP = 300;
const AT_A_TIME = 4;

/** @param {string} name @param {Buffer} data */
const chunk = (name, data) => {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
};

/** A PNG that cannot be compressed. */
const noise = () => {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(SIDE, 0);
  head.writeUInt32BE(SIDE, 4);
  head.set([8, 0, 0, 0, 0], 8);
  const rows = randomBytes((SIDE + 1) * SIDE);
  for (let row = 0; row < SIDE; row += 1) rows[row * (SIDE + 1)] = 0;
  const data = deflateSync(rows, { level: 0 });
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([signature, chunk('IHDR', head), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))]);
};

/** A request with a picture. @param {string} [model] without it the gateway chooses its only model */
export const question = (model) => {
  const url = `data:image/png;base64,${noise().toString('base64')}`;
  const content = [
    { type: 'image_url', image_url: { url } },
    { type: 'text', text: 'What is shown?' },
  ];
  return Buffer.from(JSON.stringify({ model, messages: [{ role: 'user', content }], max_tokens: 4 }));
};

/**
 * CPU time of one picture of 1.5 MB in each process, alternately in this checkout and another one, and its delay of the
 * gateway's event loop.
 * @typedef {import('./self.mjs').Stack} Stack
 * @param {(engine: Record<string, string>, options?: { root?: string, oneRedis?: boolean, gatewayFlags?: string[] }) => Promise<Stack>} startStack
 * @param {object} bench
 * @param {(pool: import('undici').Pool, count: number, atATime: number, body: Buffer) => Promise<number>} bench.ask
 * @param {(pids: Map<string, number>, work: () => Promise<number>) => Promise<{ used: Map<string, number> }>} bench.measured
 * @param {string | undefined} bench.compare @param {boolean} bench.oneRedis
 */
export async function measurePictures(startStack, { ask, measured, compare, oneRedis }) {
  const engine = { PENSTOCK_SIM_ITL_MS: '0', PENSTOCK_SIM_TTFT_MS: '0' };
  const body = question();
  /** @type {[string, Stack][]} */
  const stacks = [['this', await startStack(engine)]];
  try {
    if (compare !== undefined) stacks.push(['other', await startStack(engine, { root: resolve(compare), oneRedis })]);
    /** @type {Map<string, Map<string, number>>} CPU seconds by stack and process */
    const sums = new Map(stacks.map(([name]) => [name, new Map()]));
    for (const [, { pool }] of stacks) await ask(pool, WARM_UP, AT_A_TIME, body);
    for (let round = 0; round < ROUNDS; round += 1)
      for (const [name, { pool, pids }] of stacks) {
        const { used } = await measured(pids, () => ask(pool, A_ROUND, AT_A_TIME, body));
        const sum = sums.get(name);
        for (const [process, seconds] of used) sum?.set(process, (sum.get(process) ?? 0) + seconds);
      }
    console.log(
      `CPU ms per picture (${body.length} bytes), ${ROUNDS} alternate rounds of ${A_ROUND}, ${AT_A_TIME} at a time`,
    );
    for (const [name, sum] of sums) {
      const each = [...sum].map(([process, seconds]) => [process, (1_000 * seconds) / (ROUNDS * A_ROUND)]);
      const all = each.reduce((total, [, ms]) => total + Number(ms), 0);
      console.log(
        `${name}: ${all.toFixed(1)} = ${each.map(([process, ms]) => `${process} ${Number(ms).toFixed(1)}`).join(' + ')}`,
      );
    }
  } finally {
    for (const [, stack] of stacks) await stack.end();
  }
  const turns = (await longTurns(startStack, ask, engine, body)).toSorted((a, b) => b - a);
  const [longest = 0, usual = 0] = [turns[0], turns[Math.floor(A_ROUND / 2)]];
  console.log(
    `CPU ms for which one picture delays the gateway's event loop: ${usual.toFixed(1)} usually, ${longest.toFixed(1)} at most in ${A_ROUND}, with the collector's pauses`,
  );
}

/**
 * CPU ms of each event-loop run above 1 ms while `A_ROUND` pictures arrive one by one. It uses a separate stack, because the
 * watch keeps a core busy.
 * @param {Parameters<typeof measurePictures>[0]} startStack @param {Parameters<typeof measurePictures>[1]['ask']} ask
 * @param {Record<string, string>} engine @param {Buffer} body
 */
async function longTurns(startStack, ask, engine, body) {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-block-'));
  const file = join(folder, 'longest');
  const watch = new URL(`block-watch.mjs?file=${encodeURIComponent(file)}`, import.meta.url);
  const { pool, pids, end } = await startStack(engine, { gatewayFlags: ['--import', watch.href] });
  try {
    await ask(pool, WARM_UP, 1, body);
    const tell = async () => {
      process.kill(pids.get('gateway') ?? 0, 'SIGUSR2');
      await pause(200);
    };
    await tell();
    await ask(pool, A_ROUND, 1, body);
    await tell();
    return /** @type {number[]} */ (JSON.parse(await readFile(file, 'utf8')));
  } finally {
    await end();
    await rm(folder, { recursive: true, force: true });
  }
}
