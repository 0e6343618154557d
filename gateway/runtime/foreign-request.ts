import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** Whom a port without keys serves, besides this machine. */
export interface Trusted {
  /** names by which callers may reach the port; names of loopback need not be listed */
  readonly hosts: readonly string[];
  /** origins of pages that may call from a browser; `*`: all */
  readonly origins: readonly string[];
}

/** RFC 9112 3.2, RFC 3986 3.2.2: a name or an IPv4 address, or an IPv6 address in brackets, and a port. */
const HOST = /^(\[[\da-f:.]+\]|[\w.~%!$&'()*+,;=-]*)(?::\d*)?$/i;
const LOOPBACK = /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|::1)$/;
const SEEN_LIMIT = 100;

/**
 * The name or address of a Host header, in lower case, without port and brackets.
 * @returns undefined if it is neither
 */
export function hostName(host: string): string | undefined {
  const name = HOST.exec(host)?.[1]?.toLowerCase().replace(/\.$/, '');
  return name?.startsWith('[') === true ? name.slice(1, -1) : name;
}

/**
 * Refuses requests that a foreign page may have made. A page in this machine's browser can send requests to loopback.
 * With a name that it resolves to this machine (DNS rebinding), it can also read the answers. So a port without keys
 * answers only to its own names, and not to pages of other sites. Browsers let no page set `Sec-Fetch-Site`, `Origin`
 * or `Host` (source: Fetch standard).
 * @param localAddress at which the request arrived; no foreign page can be served under an address of this machine
 * @returns why the request is refused, in one sentence
 */
export function whyForeign(
  headers: IncomingHttpHeaders,
  localAddress: string | undefined,
  { hosts, origins }: Trusted,
): string | undefined {
  const host = headers.host?.toLowerCase() ?? '';
  const name = hostName(host) ?? '';
  const isOurs = isIP(name) !== 0 && name === localAddress?.replace(/^::ffff:/, '');
  // HTTP/1.0 has no Host, and no browser speaks it.
  const isListed = hosts.some((known) => hostName(known) === name);
  if (headers.host !== undefined && !LOOPBACK.test(name) && !isOurs && !isListed)
    return `this port asks for no key and serves this machine alone, not the host ${host.slice(0, SEEN_LIMIT)}; list that name, or configure keys if callers use this port`;
  if (origins.includes('*')) return undefined;
  const { origin } = headers;
  if (origin !== undefined) {
    const isKnown = origins.includes(origin) || origin === `http://${host}` || origin === `https://${host}`;
    return isKnown
      ? undefined
      : `pages of ${origin.slice(0, SEEN_LIMIT)} are not allowed to call this port; list that origin`;
  }
  // A link that a user follows: the page that has it cannot read what opens. A form that posts has an origin.
  if (headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document') return undefined;
  const site = headers['sec-fetch-site'];
  return site === 'cross-site' || site === 'same-site'
    ? 'pages of other sites are not allowed to call this port'
    : undefined;
}
