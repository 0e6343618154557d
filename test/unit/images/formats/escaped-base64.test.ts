import { expect, test } from '@jest/globals';
import { withoutEscapes } from '../../../../gateway/images/formats/escaped-base64.ts';
import { asManyHere } from '../../../support/cpu-time.ts';

const never = new AbortController().signal;
const plain = async (text: string): Promise<string> => (await withoutEscapes(Buffer.from(text), never)).toString();

test.each([
  ['nothing', 'ab+/=', 'ab+/='],
  ['slashes as PHP escapes them', 'image\\/png;base64,a\\/\\/b', 'image/png;base64,a//b'],
  ['what .NET and Gson escape', 'a\\u002Bb\\u002f\\u003d\\u003D', 'a+b/=='],
  ['line breaks, which are reported as such', 'ab\\r\\n\\tcd', 'ab\r\n\tcd'],
  ['no other escape', 'a\\u12b\\u00e9\\u0g20\\"\\\\\\x\\', 'a\\u12b\\u00e9\\u0g20\\"\\\\\\x\\'],
])('base64 in JSON: %s is unescaped', async (_what, text, expected) => {
  expect(await plain(text)).toBe(expected);
});

test.each(['\\/', '\\u002B', '\\uZZZZ', 'A'.repeat(76) + '\\n', '\\"'])(
  'N2: 20 MB of %j are unescaped in event-loop runs of less than 25 ms of CPU',
  async (piece) => {
    const text = Buffer.alloc(20_000_000, piece);
    // The best of ten, because compilation, garbage collection and other programs of a busy core don't count.
    let best = Infinity;
    for (let round = 0; round < 10 && best >= 25; round += 1)
      best = Math.min(best, await longestTurn(Buffer.from(text)));
    expect(best).toBeLessThan(asManyHere(25));
  },
);

/** CPU ms of the longest event-loop run while escapes are undone. */
async function longestTurn(text: Buffer): Promise<number> {
  let longest = 0;
  let last = process.cpuUsage();
  let watching = true;
  const watch = (): void => {
    const { user, system } = process.cpuUsage(last);
    longest = Math.max(longest, (user + system) / 1_000);
    last = process.cpuUsage();
    if (watching) setImmediate(watch);
  };
  setImmediate(watch);
  await withoutEscapes(text, never);
  watching = false;
  return longest;
}

test('a caller who leaves ends it with that reason', async () => {
  const gone = new Error('gone');
  await expect(withoutEscapes(Buffer.from('\\/'), AbortSignal.abort(gone))).rejects.toBe(gone);
});
