import { promises as dns, type LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { createNameFiles, type NameFilePaths } from './name-files.ts';

/**
 * The addresses of a host, IPv4 first: that much every machine has. At least one.
 * @throws Error with a `code` of DNS, such as `ENOTFOUND`
 * @throws `signal.reason`, unchanged, when the caller gave up first
 */
export type NameLookup = (host: string, signal: AbortSignal) => Promise<readonly LookupAddress[]>;

export interface NameLookupOptions extends Partial<NameFilePaths> {
  /** addresses of name servers, with a port or without; none: those of resolv.conf */
  readonly servers?: readonly string[];
}

/** A question is repeated after so many milliseconds, to the next server where there is one; each round waits twice as long. */
const PATIENCE = { timeout: 1_000, tries: 4 };
/** Once there are IPv4 addresses, an IPv6 answer is waited for so long: some name servers never answer that question. */
const LATE_IPV6_MS = 100;
/** Nobody answers: the next search domain would not be answered either. */
const HOPELESS = new Set(['ETIMEOUT', 'ECANCELLED']);

/**
 * Resolves names as getaddrinfo does (hosts file, search domains, DNS), but without its threads: there are four of those for the
 * whole process, and a name server that does not answer holds each of them for as long as it likes.
 * Other sources of names (nsswitch.conf: mDNS, LDAP) are not asked.
 */
export function createNameLookup(options: NameLookupOptions = {}): NameLookup {
  const { hosts = '/etc/hosts', resolvConf = '/etc/resolv.conf', servers = [] } = options;
  const files = createNameFiles({ hosts, resolvConf });
  return async (host, signal) => {
    signal.throwIfAborted();
    const known = files.addressesOf(host);
    if (known.length > 0) return ipv4First(known);
    // Source: RFC 6761 section 6.3: never a question for DNS.
    if (/^(.+\.)?localhost\.?$/i.test(host)) return ipv4First(['127.0.0.1', '::1']);
    // One resolver a name, as to cancel is to cancel all of a resolver's questions. It reads resolv.conf anew.
    const resolver = new dns.Resolver(PATIENCE);
    if (servers.length > 0) resolver.setServers(servers);
    const cancel = (): void => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      let last: unknown;
      for (const name of files.candidates(host)) {
        try {
          return ipv4First(await ask(resolver, name));
        } catch (cause) {
          signal.throwIfAborted();
          last = cause;
          if (HOPELESS.has(codeOf(cause))) break;
        }
      }
      throw last ?? Object.assign(new Error('no name'), { code: 'EBADNAME' });
    } finally {
      signal.removeEventListener('abort', cancel);
      resolver.cancel();
    }
  };
}

async function ask(resolver: dns.Resolver, name: string): Promise<readonly string[]> {
  const four = resolver.resolve4(name);
  const none = (): string[] => [];
  const late = resolver.resolve6(name).catch(none);
  const found = await four.catch(none);
  if (found.length > 0) return [...found, ...(await Promise.race([late, after(LATE_IPV6_MS, none())]))];
  const others = await late;
  // Without either, what was wrong with the first question counts.
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
