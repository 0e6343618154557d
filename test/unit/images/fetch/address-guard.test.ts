import { expect, test } from '@jest/globals';
import { createAddressGuard, withoutBrackets } from '../../../../gateway/images/fetch/address-guard.ts';

/** As in the gateway: the URL parser normalises the host before the guard sees it. */
const permits = (url: string, allow: string[] = [], addresses?: string[]) => {
  const parsed = new URL(url.includes('/') ? url : `http://${url}/a.png`);
  return createAddressGuard(allow).permits(parsed, addresses ?? [withoutBrackets(parsed.hostname)]);
};

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
  expect(permits(authority)).toBe(false);
});

test.each(['93.184.216.34', '8.8.8.8', '[2606:4700:4700::1111]'])('%s may be connected to', (host) => {
  expect(permits(host)).toBe(true);
});

test('addresses and ranges that the operator allows may be used, neighbouring ones not', () => {
  expect(permits('127.0.0.1', ['127.0.0.1'])).toBe(true);
  expect(permits('127.0.0.2', ['127.0.0.1'])).toBe(false);
  expect(permits('10.9.8.7', ['10.0.0.0/8'])).toBe(true);
  expect(permits('[fd12::1]', ['fd00::/8'])).toBe(true);
  expect(permits('11.0.0.1', ['10.0.0.0/8'])).toBe(true);
  expect(permits('[::1]', ['127.0.0.1', '10.0.0.0/8'])).toBe(false);
});

test('an invalid range is reported at the start', () => {
  expect(() => createAddressGuard(['10.0.0.0/99'])).toThrow();
  expect(() => createAddressGuard(['pictures.example:9000'])).toThrow('pictures.example:9000');
});

test.each<readonly [string[], string[], boolean]>([
  [['127.0.0.1'], [], false],
  [['127.0.0.1'], ['Pictures.Example.'], true],
  [['127.0.0.1', '::1'], ['127.0.0.0/8', '::1'], true],
  [['127.0.0.1', '::1'], ['127.0.0.0/8'], false],
  [['93.184.216.34', '10.0.0.1'], [], false],
  [['93.184.216.34', '2606:4700::1'], [], true],
  [['10.0.0.1', '93.184.216.34'], ['10.0.0.0/8'], true],
  [['fe80::1%eth0'], ['fe80::/10'], true],
  [['what is this'], ['10.0.0.0/8'], false],
  [[], [], false],
])('N1: a name is judged by all its addresses: %j with %j allowed', (addresses, allow, verdict) => {
  expect(permits('http://pictures.example/a.png', allow, addresses)).toBe(verdict);
});

test('N11: only ports 80 and 443, but any port of an allowed host', () => {
  for (const port of ['', ':80', ':443']) {
    expect(permits(`http://pictures.example${port}/`, [], ['8.8.8.8'])).toBe(true);
    expect(permits(`https://8.8.8.8${port}/`)).toBe(true);
  }
  for (const port of [22, 25, 81, 6379, 8080, 8443, 65_535]) {
    expect(permits(`http://pictures.example:${port}/`, [], ['8.8.8.8'])).toBe(false);
    expect(permits(`https://8.8.8.8:${port}/`)).toBe(false);
    expect(permits(`http://pictures.example:${port}/`, ['pictures.example'], ['8.8.8.8'])).toBe(true);
    expect(permits(`http://pictures.example:${port}/`, ['10.0.0.0/8'], ['10.0.0.1'])).toBe(true);
    expect(permits(`http://pictures.example:${port}/`, ['10.0.0.0/8'], ['10.0.0.1', '8.8.8.8'])).toBe(false);
    expect(permits(`http://8.8.8.8:${port}/`, ['8.8.8.8'])).toBe(true);
  }
});

test('an allowed host with non-ASCII letters matches its DNS name', () => {
  expect(permits('http://bücher.example:8080/a.png', ['Bücher.example'], ['10.0.0.1'])).toBe(true);
});
