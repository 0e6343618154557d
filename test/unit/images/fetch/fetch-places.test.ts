import { expect, test } from '@jest/globals';
import { FetchPlaces } from '../../../../gateway/images/fetch/fetch-places.ts';

const never = new AbortController().signal;

/** Takes fetch slots and records their order. */
function places(perKey: number, perReplica: number) {
  const all = new FetchPlaces({ perKey, perReplica });
  const came: string[] = [];
  const leaves = new Map<string, () => void>();
  return {
    came,
    enter: (name: string, signal = never): Promise<void> =>
      all.enter(name.split(' ')[0] ?? '', signal).then((leave) => {
        came.push(name);
        leaves.set(name, leave);
      }),
    /** resolves when the waiting fetch has its slot */
    leave: async (name: string): Promise<void> => {
      leaves.get(name)?.();
      await new Promise(setImmediate);
    },
  };
}

test('N1: above its limit a key waits in order, and delays no other key', async () => {
  const { enter, leave, came } = places(2, 10);
  const waiting = ['a 1', 'a 2', 'a 3', 'a 4'].map((name) => enter(name));
  await Promise.all(['b 1', 'b 2', 'c 1'].map((name) => enter(name)));
  expect(came).toEqual(['a 1', 'a 2', 'b 1', 'b 2', 'c 1']);
  await leave('b 1');
  expect(came).toHaveLength(5);
  await leave('a 2');
  expect(came.at(-1)).toBe('a 3');
  await leave('a 1');
  await Promise.all(waiting);
  expect(came.at(-1)).toBe('a 4');
});

test('N1: if the replica is full, the key with the fewest running fetches is next', async () => {
  const { enter, leave, came } = places(3, 4);
  await Promise.all(['a 1', 'a 2', 'a 3', 'b 1'].map((name) => enter(name)));
  const waiting = ['a 4', 'b 2', 'b 3', 'c 1'].map((name) => enter(name));
  await leave('a 1');
  await leave('a 2');
  await leave('a 3');
  await leave('b 1');
  await Promise.all(waiting);
  expect(came.slice(4)).toEqual(['c 1', 'a 4', 'b 2', 'b 3']);
});

test('N1: a fetch that is given up leaves the queue with its own reason, and takes no slot', async () => {
  const { enter, leave, came } = places(1, 1);
  await enter('a 1');
  const caller = new AbortController();
  const reason = new Error('gone');
  const left = enter('a 2', caller.signal);
  const next = enter('a 3');
  caller.abort(reason);
  await expect(left).rejects.toBe(reason);
  await leave('a 1');
  await next;
  expect(came).toEqual(['a 1', 'a 3']);
  await leave('a 3');
  await expect(enter('a 4', caller.signal)).rejects.toBe(reason);
  await enter('b 1');
});
