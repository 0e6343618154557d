import { readFile, realpath } from 'node:fs/promises';
import { lookup } from 'node:dns/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { badRequest, internalError, unprocessable } from '../http/errors.ts';
import type { SimulatorSettings } from '../command-line/settings.ts';

export type MediaSettings = Pick<
  SimulatorSettings,
  'allowedMediaPath' | 'allowedMediaDomains' | 'mediaTimeoutSeconds' | 'mediaTries' | 'mediaRedirects'
>;

const RETRY_PAUSE_MS = 1000;
const GROWTH = 4;
const MAX_REDIRECTS = 10;

/**
 * Fetches the bytes of an image part. As in vLLM, private addresses are allowed, and the target of a redirect is not
 * compared with the permitted hosts. Only trusted requests should reach this.
 * @throws ApiError with vLLM's status for each way of failing (many of them 500, though the caller is at fault)
 */
export async function loadMedia(url: string, settings: MediaSettings, signal: AbortSignal): Promise<Buffer> {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  switch (scheme) {
    case 'data':
      return fromDataUrl(url);
    case 'http':
    case 'https':
      return fromWeb(url, settings, signal);
    case 'file':
      return fromFile(url, settings);
    default:
      throw badRequest('The URL must be either a HTTP, data or file URL.');
  }
}

function fromDataUrl(url: string): Buffer {
  const comma = url.indexOf(',');
  if (comma < 0) throw badRequest('not enough values to unpack (expected 2, got 1)');
  if (!url.slice(0, comma).endsWith(';base64')) throw internalError('Only base64 data URLs are supported for now.');
  const data = url.slice(comma + 1);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(data)) throw badRequest('Non-base64 digit found');
  if (data.length % 4 !== 0) throw badRequest('Incorrect padding');
  return Buffer.from(data, 'base64');
}

async function fromFile(url: string, { allowedMediaPath }: MediaSettings): Promise<Buffer> {
  if (allowedMediaPath === undefined) {
    throw internalError('Cannot load local files without `--allowed-local-media-path`.');
  }
  const path = await realpath(fileURLToPath(url)).catch(() => resolve(fileURLToPath(url)));
  const root = await realpath(allowedMediaPath).catch(() => resolve(allowedMediaPath));
  if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) {
    throw badRequest(`The file path ${path} must be a subpath of \`--allowed-local-media-path ${allowedMediaPath}\`.`);
  }
  return readFile(path).catch(() => {
    throw internalError(`[Errno 2] No such file or directory: '${path}'`);
  });
}

async function fromWeb(url: string, settings: MediaSettings, signal: AbortSignal): Promise<Buffer> {
  const { hostname } = new URL(url);
  const { allowedMediaDomains: allowed } = settings;
  if (allowed !== undefined && !allowed.includes(hostname)) {
    const listed = allowed.map((domain) => `'${domain}'`).join(', ');
    throw badRequest(`The URL must be from one of the allowed domains: [${listed}]. Input URL domain: ${hostname}`);
  }
  for (let attempt = 1; ; attempt += 1) {
    const timeoutMs = settings.mediaTimeoutSeconds * 1000 * GROWTH ** (attempt - 1);
    const found = await download(url, timeoutMs, settings.mediaRedirects, signal).catch((cause: unknown) => cause);
    if (Buffer.isBuffer(found)) return found;
    if (typeof found === 'number' && found >= 400 && found < 500 && found !== 408 && found !== 429) {
      throw unprocessable(`Failed to fetch media from URL: HTTP ${found} error`, 'image_url', url);
    }
    if (attempt >= settings.mediaTries || signal.aborted) throw await connectionError(url, found);
    await pause(RETRY_PAUSE_MS * GROWTH ** (attempt - 1), signal);
  }
}

/** @returns the body, or the status of an answer that is not 200 */
function download(
  url: string,
  timeoutMs: number,
  followsRedirects: boolean,
  signal: AbortSignal,
): Promise<Buffer | number> {
  const limit = AbortSignal.any([AbortSignal.timeout(timeoutMs), signal]);
  const fetchFrom = (address: string, hops: number): Promise<Buffer | number> =>
    new Promise((fulfil, reject) => {
      const get = address.startsWith('https:') ? httpsGet : httpGet;
      const request = get(address, { signal: limit }, (response: IncomingMessage) => {
        const { statusCode = 500, headers } = response;
        if (statusCode >= 300 && statusCode < 400 && followsRedirects && hops > 0 && headers.location !== undefined) {
          response.resume();
          fulfil(fetchFrom(new URL(headers.location, address).href, hops - 1));
          return;
        }
        if (statusCode !== 200) {
          response.resume();
          fulfil(statusCode);
          return;
        }
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => fulfil(Buffer.concat(chunks)));
        response.on('error', reject);
      });
      request.on('error', reject);
    });
  return fetchFrom(url, MAX_REDIRECTS);
}

async function connectionError(url: string, cause: unknown): Promise<Error> {
  const { hostname, port, protocol } = new URL(url);
  const address = `${hostname}:${port === '' ? (protocol === 'https:' ? '443' : '80') : port}`;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  if (code === 'ECONNREFUSED') {
    const ip = (await lookup(hostname).catch(() => undefined))?.address ?? hostname;
    return internalError(
      `Cannot connect to host ${address} ssl:default [Connect call failed ('${ip}', ${address.split(':').at(-1) ?? ''})]`,
    );
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return internalError(`Cannot connect to host ${address} ssl:default [Name or service not known]`);
  }
  // A timeout has no message in Python.
  return internalError('');
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((fulfil) => {
    const timer = setTimeout(fulfil, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      fulfil();
    });
  });
}
