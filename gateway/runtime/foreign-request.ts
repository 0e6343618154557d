import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** Whom a port without keys serves, besides this machine. */
export interface Trusted {
  /** names by which callers may reach the port; loopback's own need not be listed */
  readonly hosts: readonly string[];
  /** of pages that may call from a browser; `*`: all */
  readonly origins: readonly string[];
}

/** RFC 9112 3.2, RFC 3986 3.2.2: a name or an IPv4 address, or an IPv6 address in brackets, and a port. */
const HOST = /^(\[[\da-f:.]+\]|[\w.~%!$&'()*+,;=-]*)(?::\d*)?$/i;
const LOOPBACK = /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|::1)$/;
const SEEN_LIMIT = 100;

/** The name or address of a Host header, in small letters, without port and brackets. @returns undefined: it is neither */
export function hostName(host: string): string | undefined {
  const name = HOST.exec(host)?.[1]?.toLowerCase().replace(/\.$/, '');
  return name?.startsWith('[') === true ? name.slice(1, -1) : name;
}

/**
 * A page in this machine's browser can send requests to loopback, and with a name that it makes lead here (DNS rebinding)
 * it can read the answers. So a port that asks for no key answers to names that lead here by right alone, and not to
 * other sites' pages (`Sec-Fetch-Site`, `Origin`: Fetch standard; browsers let no page set them, nor Host).
 * @param localAddress on which the request came; a page cannot be served under an address that is ours
 * @returns why the request is refused, in a sentence
 */
export function whyForeign(
  headers: IncomingHttpHeaders,
  localAddress: string | undefined,
  { hosts, origins }: Trusted,
): string | undefined {
  const host = headers.host?.toLowerCase() ?? '';
  const name = hostName(host) ?? '';
  const isOurs = isIP(name) !== 0 && name === localAddress?.replace(/^::ffff:/, '');
  // HTTP/1.0 has no Host, and no browser that speaks it.
  const isListed = hosts.some((known) => hostName(known) === name);
  if (headers.host !== undefined && !LOOPBACK.test(name) && !isOurs && !isListed)
    return `this port serves this machine alone, and not the host ${host.slice(0, SEEN_LIMIT)}; configure keys, or list that name`;
  if (origins.includes('*')) return undefined;
  const { origin } = headers;
  if (origin !== undefined) {
    const isKnown = origins.includes(origin) || origin === `http://${host}` || origin === `https://${host}`;
    return isKnown ? undefined : `pages of ${origin.slice(0, SEEN_LIMIT)} may not call here; list that origin`;
  }
  const site = headers['sec-fetch-site'];
  return site === 'cross-site' || site === 'same-site' ? 'pages of other sites may not call here' : undefined;
}
