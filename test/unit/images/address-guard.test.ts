import { expect, test } from '@jest/globals';
import { createAddressGuard } from '../../../gateway/images/address-guard.ts';

const check = (host: string, allow: string[] = []) => createAddressGuard(allow).checkHost(host, 'url');
/** As the gateway does: a URL parser has made one form of all spellings before the guard sees the host. */
const hostOf = (authority: string) => new URL(`http://${authority}/a.png`).hostname;

test.each([
  '127.0.0.1',
  '2130706433',
  '0x7f.1',
  '0177.0.0.1',
  '127.0.0.1.',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.1',
  '192.168.1.1',
  '100.64.0.1',
  '100.100.100.200',
  '169.254.169.254',
  '168.63.129.16',
  '192.0.0.192',
  '198.18.0.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:8.8.8.8]',
  '[::7f00:1]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b:1::a00:1]',
  '[2002:7f00:1::]',
  '[2001:0:1::1]',
  '[fe80::1]',
  '[fec0::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[ff02::1]',
  '[2001:db8::1]',
])('%s is not connected to', (authority) => {
  expect(() => check(hostOf(authority))).toThrow('not a public address');
});

test.each(['93.184.216.34', '8.8.8.8', '[2606:4700:4700::1111]', 'example.org'])('%s may be connected to', (host) => {
  expect(() => check(host)).not.toThrow();
});

test('addresses and ranges that the operator allows may be used, their neighbours not', () => {
  expect(() => check('127.0.0.1', ['127.0.0.1'])).not.toThrow();
  expect(() => check('127.0.0.2', ['127.0.0.1'])).toThrow('not a public address');
  expect(() => check('10.9.8.7', ['10.0.0.0/8'])).not.toThrow();
  expect(() => check('[fd12::1]', ['fd00::/8'])).not.toThrow();
  expect(() => check('11.0.0.1', ['10.0.0.0/8'])).not.toThrow();
  expect(() => check('[::1]', ['127.0.0.1', '10.0.0.0/8'])).toThrow('not a public address');
});

test('a range that is none is told at start', () => {
  expect(() => createAddressGuard(['10.0.0.0/99'])).toThrow();
});

test.each([
  ['localhost', [], 'image_refused'],
  ['localhost', ['LocalHost'], undefined],
  ['localhost', ['127.0.0.0/8', '::1'], undefined],
])('a name is judged by what it resolves to: %s with %j allowed', async (host, allow, code) => {
  const lookup = createAddressGuard(allow).lookupFor('messages[0].content[0].image_url.url');
  for (const all of [true, false]) {
    const { error, address } = await new Promise<{ error: unknown; address: unknown }>((done) =>
      lookup(host, { all }, (failure, found) => done({ error: failure, address: found })),
    );
    if (code === undefined) expect([error, Array.isArray(address)]).toEqual([null, all]);
    else expect(error).toMatchObject({ code, message: expect.stringContaining('localhost') });
  }
});
