import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Decides where the gateway may connect to on behalf of a caller. */
export interface AddressGuard {
  /**
   * Whether a picture may be fetched from there. One refused address among several refuses the name.
   * @param addresses all that the host resolves to, or the one that it is
   */
  permits(url: URL, addresses: readonly string[]): boolean;
}

/** Public by its number, and yet every Azure machine's own host agent, with secrets of the machine. */
const AZURE_HOST_AGENT = '168.63.129.16';
/** All of global unicast IPv6; what lies outside (such as the old IPv4-compatible form) leads to no public host. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3');

/**
 * Refuses everything but the web's ports of public unicast addresses: private, loopback, link-local with the clouds' metadata
 * services, shared, multicast, reserved, and the IPv6 forms that carry an IPv4 address inside.
 * @param allow host names, addresses and ranges (CIDR) that may be used all the same, on any port
 * @throws Error for an entry that is none of these
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

  return {
    permits: ({ hostname, port }, addresses) => {
      if (addresses.length === 0) return false;
      if (hosts.has(nameOf(hostname))) return true;
      // A URL's own port (80 for http, 443 for https) is the empty one.
      const isWebPort = port === '' || port === '80' || port === '443';
      return addresses.every((text) => {
        if (!ipaddr.isValid(text)) return false;
        const address = ipaddr.parse(text);
        return isAllowed(address) || (isWebPort && isPublic(address));
      });
    },
  };
}

function isPublic(address: Address): boolean {
  if (address.toString() === AZURE_HOST_AGENT || address.range() !== 'unicast') return false;
  return address.kind() === 'ipv4' || address.match(GLOBAL_IPV6);
}

/** An IPv6 address as it stands outside of URLs. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}

/** One form of a host name: the dot at its end says only that it is whole. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}
