import { expect, test } from '@jest/globals';
import { hostName, whyForeign } from '../../../gateway/runtime/foreign-request.ts';

const PAGE = 'https://chat.example.com';
const trusted = { hosts: ['Gate.lan', '10.9.8.7'], origins: [PAGE] };
const why = (headers: Record<string, string>, localAddress = '127.0.0.1') => whyForeign(headers, localAddress, trusted);

test.each([
  { host: 'localhost' },
  { host: 'LOCALHOST:8080' },
  { host: 'localhost.:8080' },
  { host: 'a.localhost:1' },
  { host: '127.0.0.1:8080' },
  { host: '127.9.9.9' },
  { host: '[::1]:8080' },
  { host: 'gate.lan:8080' },
  { host: '10.9.8.7' },
  {},
  { host: 'localhost:8080', origin: 'http://localhost:8080', 'sec-fetch-site': 'same-origin' },
  { host: '127.0.0.1:8080', 'sec-fetch-site': 'none' },
  // A link on a page of another site, which somebody follows.
  { host: 'localhost', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
  { host: 'localhost:8080', origin: PAGE, 'sec-fetch-site': 'cross-site' },
  { host: 'gate.lan', origin: 'https://gate.lan' },
])('N10: served: %j', (headers: Record<string, string>) => {
  expect(why(headers)).toBeUndefined();
});

test.each([
  { host: 'evil.example' },
  { host: 'localhost.evil.example' },
  { host: '127.0.0.1.evil.example' },
  { host: 'evil.example:8080' },
  { host: 'notlocalhost' },
  { host: '' },
  { host: '8.8.8.8' },
  { host: '127.1' },
  { host: '0.0.0.0' },
  { host: '[2001:db8::1]' },
  { host: 'localhost@evil.example' },
  { host: 'localhost:8080', origin: 'https://evil.example' },
  { host: 'localhost:8080', origin: 'null' },
  { host: 'localhost:8080', origin: '' },
  { host: 'localhost:8080', origin: 'http://localhost:3000' },
  { host: 'localhost:8080', origin: `${PAGE}.evil.example` },
  { host: 'localhost:8080', 'sec-fetch-site': 'cross-site' },
  { host: 'localhost:8080', 'sec-fetch-site': 'same-site' },
  { host: 'localhost', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
  { host: 'evil.example', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
  { host: 'evil.example', origin: PAGE },
])('N10: refused in one sentence: %j', (headers: Record<string, string>) => {
  expect(why(headers)).toMatch(/^(this port|pages of)/);
});

test('N10: the address that a probe connects to is allowed as Host', () => {
  expect(why({ host: '10.1.2.3:9090' }, '::ffff:10.1.2.3')).toBeUndefined();
  expect(why({ host: '10.1.2.3:9090' }, '10.1.2.4')).toBeDefined();
});

test('N10: if every origin is allowed, any page may call, but only with the listed host names', () => {
  const all = { hosts: [], origins: ['*'] };
  expect(whyForeign({ host: 'localhost', origin: 'null', 'sec-fetch-site': 'cross-site' }, '::1', all)).toBeUndefined();
  expect(whyForeign({ host: 'evil.example', origin: 'null' }, '::1', all)).toBeDefined();
});

test('B4: a Host header must be a host with an optional port', () => {
  expect(['a.b:80', '[::1]', 'x_y', ''].map(hostName)).toEqual(['a.b', '::1', 'x_y', '']);
  for (const wrong of ['a b', 'a/b', 'a@b', 'a:b', '[::1', '::1', 'a,b c', 'a?b', 'a#b', '[zz]'])
    expect([wrong, hostName(wrong)]).toEqual([wrong, undefined]);
});
