import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Decides which addresses the gateway may connect to for a caller. */
export interface AddressGuard {
  /**
   * Whether the gateway may connect to this URL. One refused address among several refuses the host.
   * @param addresses all addresses of the host, or the host itself if it is an address
   */
  permits(url: URL, addresses: readonly string[]): boolean;
  /** Whether the operator named this host, or all its addresses. */
  names(url: URL, addresses: readonly string[]): boolean;
}

/** Outside the private ranges, but every Azure machine's own host agent, which knows secrets of the machine. */
const AZURE_HOST_AGENT = '168.63.129.16';
/** All of global unicast IPv6; addresses outside (such as the old IPv4-compatible form) are no public hosts. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3');

/**
 * Permits only ports 80 and 443 of public unicast addresses. It refuses private, loopback, link-local (clouds' metadata
 * services), shared, multicast and reserved addresses, and IPv6 forms that carry an IPv4 address.
 * @param allow host names, addresses and ranges (CIDR) that are permitted anyway, on any port
 * @throws Error for any other entry
 */
export function createAddressGuard(allow: readonly string[]): AddressGuard {
  const hosts = new Set<string>();
  const ranges: [Address, number][] = [];
  for (const entry of allow) {
    const literal = withoutBrackets(entry);
    if (ipaddr.isValid(literal)) {
      const address = ipaddr.parse(literal);
      ranges.push([address, address.kind() === 'ipv4' ? 32 : 128]);
    } else if (literal.includes('/')) ranges.push(ipaddr.parseCIDR(literal));
    else {
      const name = nameOf(domainToASCII(literal));
      if (name === '') throw new Error(`${entry} is no host name, address or range (CIDR), without a port`);
      hosts.add(name);
    }
  }
  const isAllowed = (address: Address): boolean =>
    ranges.some((range) => range[0].kind() === address.kind() && address.match(range));
  const every = (hostname: string, addresses: readonly string[], isGood: (address: Address) => boolean): boolean =>
    addresses.length > 0 &&
    (hosts.has(nameOf(hostname)) || addresses.every((text) => ipaddr.isValid(text) && isGood(ipaddr.parse(text))));

  return {
    permits: ({ hostname, port }, addresses) => {
      // A URL's own port (80 for http, 443 for https) is the empty one.
      const isWebPort = port === '' || port === '80' || port === '443';
      return every(hostname, addresses, (address) => isAllowed(address) || (isWebPort && isPublic(address)));
    },
    names: ({ hostname }, addresses) => every(hostname, addresses, isAllowed),
  };
}

function isPublic(address: Address): boolean {
  if (address.toString() === AZURE_HOST_AGENT || address.range() !== 'unicast') return false;
  return address.kind() === 'ipv4' || address.match(GLOBAL_IPV6);
}

/** An IPv6 address in the form used outside URLs. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}

/** One form of a host name, without the dot that may end a full name. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}
