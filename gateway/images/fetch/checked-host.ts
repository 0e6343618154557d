import type { LookupAddress } from 'node:dns';
import { connect as connectTcp, isIP, type Socket, type TcpNetConnectOpts } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { withoutBrackets, type AddressGuard } from './address-guard.ts';
import type { NameLookup } from './name-lookup.ts';

/** Limit for the addresses of one host, which are tried in turn: one name cannot cause hundreds of connections. */
const MOST_ADDRESSES = 8;
/** Delay until a connection to the next address of a host is tried in parallel, in milliseconds. */
const NEXT_ADDRESS_MS = 500;

export interface HostCheck {
  readonly guard: AddressGuard;
  readonly lookup: NameLookup;
}

interface CheckedHost {
  readonly addresses: readonly LookupAddress[];
  readonly isPermitted: boolean;
  /** the operator named it, or all its addresses */
  readonly isNamed: boolean;
}

/**
 * Resolves the host of a URL, and asks the guard about all its addresses.
 * @throws Error of DNS
 */
export async function addressesOf(url: URL, { guard, lookup }: HostCheck, signal: AbortSignal): Promise<CheckedHost> {
  const host = withoutBrackets(url.hostname);
  const family = isIP(host);
  const addresses = family === 0 ? await lookup(host, signal) : [{ address: host, family }];
  const texts = addresses.map(({ address }) => address);
  return { addresses, isPermitted: guard.permits(url, texts), isNamed: guard.names(url, texts) };
}

/** Connects to one of the addresses, and to no other. */
export function connectTo({ protocol, hostname, port }: URL, addresses: readonly LookupAddress[]): Socket {
  const host = withoutBrackets(hostname);
  const several = addresses.slice(0, MOST_ADDRESSES);
  const [first] = several;
  const options: TcpNetConnectOpts = {
    host,
    port: Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    lookup: (_host, { all }, callback) => {
      if (all === true) callback(null, several);
      else callback(null, first?.address ?? '', first?.family);
    },
  };
  if (protocol !== 'https:') return connectTcp(options);
  // The dot at the end of a name is no part of a certificate's name.
  const servername = isIP(host) === 0 ? host.replace(/\.$/, '') : '';
  return connectTls({ ...options, servername, ALPNProtocols: ['http/1.1'] });
}
