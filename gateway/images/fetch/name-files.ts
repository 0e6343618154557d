import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';

export interface NameFilePaths {
  readonly hosts: string;
  readonly resolvConf: string;
}

/** Names in this machine's files. They are checked each time, because Kubernetes and administrators rewrite them. */
export interface NameFiles {
  /** @returns the addresses from the hosts file; empty if it does not have the name */
  addressesOf(name: string): readonly string[];
  /** @returns the names to look up in DNS, one after the other: with each search domain, and unchanged */
  candidates(name: string): readonly string[];
}

/** Source: resolv.conf(5) of glibc. */
const MOST_DOTS = 15;
/** Source: RFC 1035 section 2.3.4, in its written form. */
const LONGEST_NAME = 253;

export function createNameFiles(paths: NameFilePaths): NameFiles {
  const hosts = whenChanged(paths.hosts, parseHosts);
  const conf = whenChanged(paths.resolvConf, parseResolvConf);
  return {
    addressesOf: (name) => hosts().get(name.toLowerCase().replace(/\.$/, '')) ?? [],
    candidates: (name) => {
      if (name.endsWith('.')) return [name];
      const { search, ndots } = conf();
      const searched = search.map((domain) => `${name}.${domain}`);
      const dots = name.split('.').length - 1;
      const all = dots >= ndots ? [name, ...searched] : [...searched, name];
      return all.filter(({ length }) => length <= LONGEST_NAME);
    },
  };
}

/** A missing or unreadable file counts as empty. */
function whenChanged<T>(path: string, parse: (text: string) => T): () => T {
  let seen = '';
  let value = parse('');
  return () => {
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const now = [mtimeMs, size, ino].join();
      if (now !== seen) value = parse(readFileSync(path, 'utf8'));
      seen = now;
    } catch {
      value = parse('');
      seen = '';
    }
    return value;
  };
}

/** Source: hosts(5): an address, then its names. Several lines with one name add up. */
function parseHosts(text: string): Map<string, string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0 || address.includes('%')) continue;
    for (const name of names) {
      const key = name.toLowerCase().replace(/\.$/, '');
      hosts.set(key, [...(hosts.get(key) ?? []), address]);
    }
  }
  return hosts;
}

/** Source: resolv.conf(5): the last of `search` and `domain` counts; without one, the domain of the machine's own name. */
function parseResolvConf(text: string): { readonly search: readonly string[]; readonly ndots: number } {
  let search: readonly string[] = [hostname().split('.').slice(1).join('.')];
  let ndots = 1;
  for (const line of text.split('\n')) {
    const [word, ...values] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (word === 'search') search = values;
    if (word === 'domain') search = values.slice(0, 1);
    const told = word === 'options' ? values.findLast((value) => /^ndots:\d+$/.test(value)) : undefined;
    if (told !== undefined) ndots = Math.min(Number(told.slice('ndots:'.length)), MOST_DOTS);
  }
  return { search: search.map((domain) => domain.replace(/\.$/, '')).filter((domain) => domain !== ''), ndots };
}
