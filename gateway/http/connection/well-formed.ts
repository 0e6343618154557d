import type { Request } from 'express';
import { Failure } from '../../failure.ts';
import { hostName } from '#runtime/foreign-request';

/**
 * Rules of HTTP for the head of a request that Node's parser does not check (RFC 9112: 3.2 Host and target, 6.1
 * transfer codings). A target in absolute form is changed to the usual one, because its authority overrides Host
 * (3.2.2).
 * @returns why the head cannot be served
 */
export function whyMalformed(req: Request): Failure | undefined {
  const { headers, httpVersion } = req;
  if (req.httpVersionMajor < 1) return invalid(`HTTP/${httpVersion} is not supported; use HTTP/1.1`);
  const hosts = req.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts > 1) return invalid('the request has several Host headers; send one', 'host');
  if (hosts === 0 && httpVersion !== '1.0') return invalid('the request has no Host header; send one', 'host');
  if (hostName(headers.host ?? '') === undefined) return invalid('the Host header is not a host and a port', 'host');
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked')
    return invalid('the only supported transfer-encoding is chunked', 'transfer-encoding');
  return whyNoTarget(req);
}

function whyNoTarget(req: Request): Failure | undefined {
  if (req.url === '*') {
    if (req.method !== 'OPTIONS') return invalid('the target * is only allowed with OPTIONS');
    req.url = '/';
  }
  if (!req.url.startsWith('/')) {
    const isHttp = /^https?:\/\//i.test(req.url) && URL.canParse(req.url);
    if (!isHttp) return invalid('the target is neither a path nor an http URL');
    const { host, pathname, search } = new URL(req.url);
    req.headers.host = host;
    req.url = pathname + search;
  }
  try {
    decodeURIComponent(req.path);
    return undefined;
  } catch {
    return new Failure(
      'route_not_found',
      'the path is not well encoded: each % must be followed by two digits of UTF-8',
    );
  }
}

function invalid(message: string, param?: string): Failure {
  return new Failure('invalid_request', message, param === undefined ? {} : { param });
}
