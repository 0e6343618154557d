import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { lookup as getaddrinfo } from 'node:dns/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createNameLookup } from '../../gateway/images/fetch/name-lookup.ts';
import { startNameServer } from '../support/name-server.ts';

const never = new AbortController().signal;
const addressesOf = async (lookup: ReturnType<typeof createNameLookup>, host: string, signal = never) =>
  (await lookup(host, signal)).map(({ address }) => address);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penstock-names-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let files = 0;
async function file(text: string): Promise<string> {
  files += 1;
  const path = join(folder, `file-${files}`);
  await writeFile(path, text);
  return path;
}
const NO_SEARCH = 'search .\n';

test('N1: the hosts file wins over DNS, in all its spellings, and is read again after a change', async () => {
  await using server = await startNameServer(() => ['9.9.9.9']);
  const hosts = await file(
    [
      '# 1.1.1.1 commented.example',
      '10.0.0.1\tone.example  ALIAS.example # two.example',
      '  10.0.0.2 one.example\r',
      '2001:db8::1 one.example six.example',
      'fe80::1%lo0 zoned.example',
      'not-an-address wrong.example',
      '',
    ].join('\n'),
  );
  const lookup = createNameLookup({ hosts, resolvConf: await file(NO_SEARCH), servers: [server.address] });
  expect(await addressesOf(lookup, 'one.example')).toEqual(['10.0.0.1', '10.0.0.2', '2001:db8::1']);
  expect(await addressesOf(lookup, 'one.example.')).toEqual(['10.0.0.1', '10.0.0.2', '2001:db8::1']);
  expect(await addressesOf(lookup, 'alias.example')).toEqual(['10.0.0.1']);
  expect(await lookup('six.example', never)).toEqual([{ address: '2001:db8::1', family: 6 }]);
  expect(server.asked).toEqual([]);
  for (const name of ['commented.example', 'two.example', 'zoned.example', 'wrong.example'])
    expect(await addressesOf(lookup, name)).toContain('9.9.9.9');
  await writeFile(hosts, '10.9.9.9 one.example\n');
  await utimes(hosts, 1, 1);
  expect(await addressesOf(lookup, 'one.example')).toEqual(['10.9.9.9']);
});

test('N1: localhost and its subdomains mean this machine, without a DNS query', async () => {
  await using server = await startNameServer(() => ['9.9.9.9']);
  const lookup = createNameLookup({ hosts: await file(''), resolvConf: await file(''), servers: [server.address] });
  for (const name of ['localhost', 'LocalHost.', 'pictures.localhost'])
    expect(await addressesOf(lookup, name)).toEqual(['127.0.0.1', '::1']);
  expect(server.asked).toEqual([]);
});

test.each<readonly [string, string, readonly string[]]>([
  ['search a.test b.test\noptions ndots:5\n', 'svc', ['svc.a.test', 'svc.b.test', 'svc']],
  ['search a.test b.test\noptions ndots:5\n', 'x.svc', ['x.svc.a.test', 'x.svc.b.test', 'x.svc']],
  ['search a.test b.test\noptions timeout:1 ndots:2 rotate\n', 'x.y.z', ['x.y.z', 'x.y.z.a.test', 'x.y.z.b.test']],
  ['search a.test b.test\n', 'svc', ['svc.a.test', 'svc.b.test', 'svc']],
  ['search a.test b.test\n', 'x.y', ['x.y', 'x.y.a.test', 'x.y.b.test']],
  ['search a.test\noptions ndots:5\n', 'x.y.', ['x.y']],
  ['domain a.test\nsearch b.test\n', 'svc', ['svc.b.test', 'svc']],
  ['search b.test\ndomain a.test\n', 'svc', ['svc.a.test', 'svc']],
  ['\t search  a.test.  \t# b.test\n;options ndots:9', 'svc', ['svc.a.test', 'svc']],
  ['search .\n', 'svc', ['svc']],
  [
    `search ${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.test\n`,
    'a.host.of.test',
    ['a.host.of.test'],
  ],
])('N1: search domains are tried in glibc’s order: %j for %s', async (conf, name, expected) => {
  await using server = await startNameServer(() => 'nxdomain');
  const lookup = createNameLookup({ hosts: await file(''), resolvConf: await file(conf), servers: [server.address] });
  await expect(lookup(name, never)).rejects.toMatchObject({ code: 'ENOTFOUND' });
  expect(server.asked.filter((question) => question.startsWith('A '))).toEqual(expected.map((one) => `A ${one}`));
});

test('N1: the first search domain with the name ends the search; a server failure for one does not', async () => {
  await using server = await startNameServer((name) => {
    if (name === 'svc.c.test') return ['10.0.0.3'];
    return name === 'svc.a.test' ? 'servfail' : [];
  });
  const resolvConf = await file('search a.test b.test c.test d.test\n');
  const lookup = createNameLookup({ hosts: await file(''), resolvConf, servers: [server.address] });
  expect(await addressesOf(lookup, 'svc')).toContain('10.0.0.3');
  expect(server.asked.join()).not.toContain('d.test');
});

test('N1: both address families are returned, IPv4 first; a name may have only one', async () => {
  await using server = await startNameServer((name, type) => {
    if (name === 'both.test') return type === 'A' ? ['10.0.0.1', '10.0.0.2'] : ['2001:db8::5'];
    if (name === 'four.test') return type === 'A' ? ['10.0.0.4'] : 'nxdomain';
    if (name === 'six.test') return type === 'A' ? [] : ['2001:db8::6'];
    if (name === 'mute-six.test') return type === 'A' ? ['10.0.0.7'] : 'silence';
    return [];
  });
  const lookup = createNameLookup({
    hosts: await file(''),
    resolvConf: await file(NO_SEARCH),
    servers: [server.address],
  });
  expect((await addressesOf(lookup, 'both.test')).at(-1)).toBe('2001:db8::5');
  expect((await addressesOf(lookup, 'both.test')).slice(0, -1).toSorted()).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(await addressesOf(lookup, 'four.test')).toEqual(['10.0.0.4']);
  expect(await addressesOf(lookup, 'six.test')).toEqual(['2001:db8::6']);
  expect(await addressesOf(lookup, 'mute-six.test')).toEqual(['10.0.0.7']);
  await expect(lookup('none.test', never)).rejects.toMatchObject({ code: 'ENODATA' });
});

test('N1: a lookup with a silent server is given up as soon as its caller leaves, and delays no other', async () => {
  await using server = await startNameServer((name) => (name.startsWith('mute') ? 'silence' : ['10.0.0.1']));
  const lookup = createNameLookup({
    hosts: await file(''),
    resolvConf: await file(NO_SEARCH),
    servers: [server.address],
  });
  const caller = new AbortController();
  const gone = new Error('gone');
  const waiting = Promise.allSettled(
    Array.from({ length: 40 }, (_, n) => lookup(`mute-${n}.test`, AbortSignal.any([caller.signal]))),
  );
  expect(await addressesOf(lookup, 'well.test')).toEqual(expect.arrayContaining(['10.0.0.1']));
  // getaddrinfo, which resolves Redis, still has its threads.
  expect((await getaddrinfo('localhost')).address).toMatch(/^(127\.|::1)/);
  caller.abort(gone);
  for (const ended of await waiting) expect(ended).toEqual({ status: 'rejected', reason: gone });
  await expect(lookup('well.test', caller.signal)).rejects.toBe(gone);
});

test('N1: the second server is queried if the first is silent or refuses', async () => {
  await using silent = await startNameServer(() => 'silence');
  await using refusing = await startNameServer(() => 'refused');
  await using well = await startNameServer((_name, type) => (type === 'A' ? ['10.0.0.1'] : []));
  await using failing = await startNameServer(() => 'servfail');
  for (const first of [silent, refusing, failing]) {
    const servers = [first.address, well.address];
    const lookup = createNameLookup({ hosts: await file(''), resolvConf: await file(NO_SEARCH), servers });
    expect(await addressesOf(lookup, 'well.test')).toEqual(['10.0.0.1']);
  }
});

test('N1: missing files count as empty, and invalid names are refused', async () => {
  await using server = await startNameServer(() => 'nxdomain');
  const lookup = createNameLookup({ hosts: '/nowhere/hosts', resolvConf: '/nowhere/conf', servers: [server.address] });
  for (const name of ['well.test', 'a'.repeat(300), 'a..b', `${'b'.repeat(64)}.test`, '*.test', 'a_b.test'])
    await expect(lookup(name, never)).rejects.toMatchObject({ code: expect.stringMatching(/^E[A-Z]+$/) });
  expect(() => createNameLookup({ servers: ['name.example'] })).toThrow();
});
