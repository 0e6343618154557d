import { promises as dns, type LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { createNameFiles, type NameFilePaths } from './name-files.ts';

/**
 * Resolves a host to at least one address, IPv4 first, because every machine has IPv4.
 * @throws Error with a `code` of DNS, such as `ENOTFOUND`
 * @throws `signal.reason`, unchanged, if the caller left first
 */
export type NameLookup = (host: string, signal: AbortSignal) => Promise<readonly LookupAddress[]>;

export interface NameLookupOptions extends Partial<NameFilePaths> {
  /** addresses of name servers, with or without a port; empty: those of resolv.conf */
  readonly servers?: readonly string[];
}

/**
 * Timeout of a question in ms, and number of tries, at the next server if there is one. Each round waits twice as long.
 * node.js checks for timeouts at intervals of the same length, so the first takes up to twice as long.
 */
const PATIENCE = { timeout: 500, tries: 5 };
/** How long to wait for IPv6 after IPv4 arrived, in ms: some name servers never answer that question. */
const LATE_IPV6_MS = 100;
/** No server answers, so the next search domain would not be answered either. */
const HOPELESS = new Set(['ETIMEOUT', 'ECANCELLED']);
/** The server cannot answer: glibc then asks the next one, node.js' c-ares does not. Source: res_send.c, next_ns. */
const NOT_TOLD = new Set(['ESERVFAIL', 'EREFUSED', 'ENOTIMP', 'EFORMERR', 'EBADRESP']);
/** Source: glibc, MAXNS. */
const MOST_SERVERS = 3;

/**
 * Resolves names as getaddrinfo does (hosts file, search domains, DNS), but without its threads. The process has only
 * four of those, and a silent name server blocks each of them. Other sources of names (nsswitch.conf: mDNS, LDAP) are
 * not asked.
 * @throws Error for a server that is no address
 */
export function createNameLookup(options: NameLookupOptions = {}): NameLookup {
  const { hosts = '/etc/hosts', resolvConf = '/etc/resolv.conf', servers = [] } = options;
  const files = createNameFiles({ hosts, resolvConf });
  if (servers.length > 0) new dns.Resolver().setServers(servers);
  return async (host, signal) => {
    signal.throwIfAborted();
    const known = files.addressesOf(host);
    if (known.length > 0) return ipv4First(known);
    // Source: RFC 6761 section 6.3: DNS is never asked for it.
    if (/^(.+\.)?localhost\.?$/i.test(host)) return ipv4First(['127.0.0.1', '::1']);
    let last: unknown;
    for (const name of files.candidates(host)) {
      try {
        return ipv4First(await askServers(name, servers, signal));
      } catch (cause) {
        signal.throwIfAborted();
        last = cause;
        if (HOPELESS.has(codeOf(cause))) break;
      }
    }
    throw last ?? Object.assign(new Error('no name'), { code: 'EBADNAME' });
  };
}

async function askServers(name: string, told: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
  for (let first = 0; ; first += 1) {
    // One resolver per lookup, because a cancel stops all questions of a resolver. It reads resolv.conf again.
    const resolver = new dns.Resolver(PATIENCE);
    const servers = told.length > 0 ? told : resolver.getServers();
    if (told.length > 0 || first > 0) resolver.setServers([...servers.slice(first), ...servers.slice(0, first)]);
    const cancel = (): void => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      return await ask(resolver, name);
    } catch (cause) {
      if (signal.aborted || !NOT_TOLD.has(codeOf(cause)) || first + 1 >= Math.min(servers.length, MOST_SERVERS))
        throw cause;
    } finally {
      signal.removeEventListener('abort', cancel);
      resolver.cancel();
    }
  }
}

async function ask(resolver: dns.Resolver, name: string): Promise<readonly string[]> {
  const four = resolver.resolve4(name);
  const none = (): string[] => [];
  const late = resolver.resolve6(name).catch(none);
  const found = await four.catch(none);
  if (found.length > 0) return [...found, ...(await Promise.race([late, after(LATE_IPV6_MS, none())]))];
  const others = await late;
  // Without any answer, the error of the first question counts.
  return others.length > 0 ? others : four;
}

function ipv4First(addresses: readonly string[]): LookupAddress[] {
  return addresses
    .map((address) => ({ address, family: isIP(address) }))
    .toSorted((one, other) => one.family - other.family);
}

function codeOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
}
