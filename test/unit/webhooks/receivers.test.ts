import { expect, test } from '@jest/globals';
import { Receivers } from '../../../gateway/webhooks/receivers.ts';

const HOOK = { url: 'https://hooks.test/', secret: 'whsec_x' };
const OLD = 3_600_000;

test('an event is dropped if its gateway has known no webhook for a minute, and it is a minute old itself', () => {
  let [now, hook]: [number, typeof HOOK | undefined] = [0, undefined];
  const receivers = new Receivers(
    () => hook,
    () => now,
  );
  expect(receivers.of('k')).toBeUndefined();
  expect(receivers.goneInMs('k', OLD)).toBe(60_000);
  now = 45_000;
  expect(receivers.of('k')).toBeUndefined();
  expect(receivers.goneInMs('k', OLD)).toBe(15_000);
  now = 3_600_000;
  expect([receivers.goneInMs('k', OLD), receivers.goneInMs('k', 5_000)]).toEqual([0, 55_000]);
  hook = HOOK;
  expect(receivers.of('k')).toBe(HOOK);
  hook = undefined;
  expect(receivers.of('k')).toBeUndefined();
  expect(receivers.goneInMs('k', OLD)).toBe(60_000);
});
