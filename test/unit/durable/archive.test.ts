import { expect, test } from '@jest/globals';
import { pack, unpack, type RawEntry } from '../../../gateway/durable/archive.ts';

const entry = (id: string, name: string, value: Buffer): RawEntry => [Buffer.from(id), Buffer.from(name), value];

test('a log is packed and unpacked without a change, also bytes that are no text', async () => {
  const entries = [
    entry('0-1', 'j', Buffer.from('{}')),
    entry('65537-0', 'b', Buffer.from([0, 255, 10, 128])),
    entry('65537-1', 'b', Buffer.alloc(0)),
  ];
  expect(await unpack(await pack(entries))).toEqual(entries);
  expect(await unpack(await pack([]))).toEqual([]);
});

test('4,096 events of one answer need less than 100 kB', async () => {
  const data = (n: number): string =>
    `event: response.output_text.delta\ndata: {"content_index":0,"delta":" word${n % 97}","item_id":"msg_1","output_index":0,"sequence_number":${n},"type":"response.output_text.delta"}\n\n`;
  const entries = Array.from({ length: 4_096 }, (_, n) => entry(`65537-${n}`, 'b', Buffer.from(data(n))));
  expect((await pack(entries)).length).toBeLessThan(100_000);
});

test('bytes that are no packed log are an error', async () => {
  await expect(unpack(Buffer.from('not packed'))).rejects.toThrow();
});
