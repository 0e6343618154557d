import { lookup as dnsLookup } from 'node:dns';
import type { LookupAddress, LookupOptions } from 'node:dns';
import ipaddr from 'ipaddr.js';
import { Failure } from '#contract/failure';

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;
type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Decides where the gateway may connect to on behalf of a caller. */
export interface AddressGuard {
  /**
   * Checks a host before it is connected to; for a literal address this is the only check, as none is looked up.
   * @param host a URL's host name, IPv6 in brackets
   * @throws Failure `image_refused`
   */
  checkHost(host: string, param: string): void;
  /**
   * Stands in for `dns.lookup` of one connection: the addresses that it hands on are those that were checked, so a name
   * cannot answer differently afterwards. One refused address among several refuses the name.
   */
  lookupFor(param: string): (host: string, options: LookupOptions, callback: LookupCallback) => void;
}

/** Public by its number, and yet every Azure machine's own host agent, with secrets of the machine. */
const AZURE_HOST_AGENT = '168.63.129.16';
/** All of global unicast IPv6; what lies outside (such as the old IPv4-compatible form) leads to no public host. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3');

/**
 * Refuses everything but public unicast addresses: private, loopback, link-local with the clouds' metadata services,
 * shared, multicast, reserved, and the IPv6 forms that carry an IPv4 address inside.
 * @param allow host names, addresses and ranges (CIDR) that may be used all the same
 * @throws Error for a range that is none
 */
export function createAddressGuard(allow: readonly string[]): AddressGuard {
  const hosts = new Set<string>();
  const ranges: [Address, number][] = [];
  for (const entry of allow) {
    const literal = entry.replace(/^\[|\]$/g, '');
    if (ipaddr.isValid(literal)) {
      const address = ipaddr.parse(literal);
      ranges.push([address, address.kind() === 'ipv4' ? 32 : 128]);
    } else if (literal.includes('/')) ranges.push(ipaddr.parseCIDR(literal));
    else hosts.add(literal.toLowerCase());
  }
  const allowed = (address: Address): boolean =>
    isPublic(address) || ranges.some((range) => range[0].kind() === address.kind() && address.match(range));
  const refused = (host: string, param: string): Failure =>
    new Failure('image_refused', `${param} points to ${shortHost(host)}, which is not a public address`, { param });

  return {
    checkHost: (host, param) => {
      const literal = host.replace(/^\[|\]$/g, '');
      if (ipaddr.isValid(literal) && !allowed(ipaddr.parse(literal))) throw refused(host, param);
    },
    lookupFor: (param) => (host, options, callback) => {
      dnsLookup(host, { ...options, all: true }, (error, addresses) => {
        const [first] = addresses ?? [];
        if (error !== null || first === undefined) return callback(error ?? new Error('no address'), []);
        const fine = hosts.has(host.toLowerCase()) || addresses.every(({ address }) => allowed(ipaddr.parse(address)));
        if (!fine) return callback(refused(host, param), []);
        return options.all === true ? callback(null, addresses) : callback(null, first.address, first.family);
      });
    },
  };
}

function isPublic(address: Address): boolean {
  if (address.toString() === AZURE_HOST_AGENT || address.range() !== 'unicast') return false;
  return address.kind() === 'ipv4' || address.match(GLOBAL_IPV6);
}

/** A host for messages: the one part of a picture's URL that they may show. */
export function shortHost(host: string): string {
  return host.length <= 80 ? host : `${host.slice(0, 80)}…`;
}
