import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { png } from './pictures.ts';
import { portOf } from './port-of.ts';
import type { RawScript } from './raw-host.ts';

/** Text in everything that a hostile host sends; it must reach no log and no caller. */
export const CANARY = 'cAnArY7q';
const PICTURE = png(8, 6);

/** Writes repeatedly, as fast as the peer reads, until the peer closes. */
function flood(socket: Socket, piece: string, first = ''): void {
  const block = piece.repeat(Math.ceil(16_384 / piece.length));
  const next = (): void => {
    while (socket.writable) if (!socket.write(block, 'latin1')) break;
  };
  socket.on('drain', next);
  socket.write(first, 'latin1');
  next();
}

/** Writes one piece after the other, so slowly that it never ends. */
function trickle(socket: Socket, piece: string, first = ''): void {
  socket.write(first, 'latin1');
  const timer = setInterval(() => socket.write(piece, 'latin1'), 20);
  socket.once('close', () => clearInterval(timer));
}

/** A host's failures before a success status, by path. */
export const BEFORE_SUCCESS: Readonly<Record<string, RawScript>> = {
  '/hangs-up': (socket) => void socket.destroy(),
  '/resets': (socket) => void socket.resetAndDestroy(),
  '/ends': (socket) => void socket.end(),
  '/no-http': (socket) => void socket.end(`${CANARY}\r\n`.repeat(2_000)),
  '/ssh': (socket) => void socket.end(`SSH-2.0-${CANARY}\r\n`),
  '/redis': (socket) => void socket.end(`-ERR wrong number of arguments ${CANARY}\r\n`),
  '/http-0.9': (socket) => void socket.end(PICTURE),
  '/bad-version': (socket) => void socket.end(`HTTP/${CANARY} 200 OK\r\n\r\n`),
  '/bad-status': (socket) => void socket.end(`HTTP/1.1 ${CANARY}\r\n\r\n`),
  '/status-000': (socket) => void socket.end(`HTTP/1.1 000 ${CANARY}\r\ncontent-length: 0\r\n\r\n`),
  '/status-999': (socket) => void socket.end(`HTTP/1.1 999 ${CANARY}\r\ncontent-length: 0\r\n\r\n`),
  '/bad-header': (socket) => void socket.end(`HTTP/1.1 200 OK\r\n${CANARY} ${CANARY}\u0000: x\r\n\r\n`),
  '/bad-length': (socket) => void socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${CANARY}\r\n\r\n`),
  '/two-lengths': (socket) =>
    void socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\nx: ${CANARY}\r\n\r\n${CANARY}`),
  '/large-head': (socket) => void socket.end(`HTTP/1.1 200 OK\r\nx: ${CANARY.repeat(20_000)}\r\n\r\n`),
  '/endless-head': (socket) => flood(socket, `x: ${CANARY}\r\n`, 'HTTP/1.1 200 OK\r\n'),
  '/endless-status': (socket) => flood(socket, CANARY, 'HTTP/1.1 200 '),
  '/slow-head': (socket) => trickle(socket, 'x', `HTTP/1.1 200 OK\r\nx: ${CANARY}`),
  '/slow-status': (socket) => trickle(socket, 'x', `HTTP/1.1 200 ${CANARY}`),
  '/silence': () => undefined,
  '/endless-100': (socket) => flood(socket, `HTTP/1.1 100 ${CANARY}\r\n\r\n`),
  '/endless-103': (socket) => flood(socket, `HTTP/1.1 103 Early Hints\r\nlink: <${CANARY}>\r\n\r\n`),
  '/slow-103': (socket) => trickle(socket, `HTTP/1.1 103 Early Hints\r\nlink: <${CANARY}>\r\n\r\n`),
  '/upgrade': (socket) =>
    void socket.write(`HTTP/1.1 101 Switching\r\nupgrade: ${CANARY}\r\nconnection: upgrade\r\n\r\n${CANARY}`),
  ...Object.fromEntries(
    [300, 304, 305, 400, 401, 402, 403, 404, 407, 410, 418, 429, 451, 500, 502, 503, 504].map((status) => [
      `/status-${status}`,
      (socket: Socket) =>
        void socket.end(
          `HTTP/1.1 ${status} ${CANARY}\r\nwww-authenticate: Basic realm=${CANARY}\r\nretry-after: 1\r\ncontent-length: 8\r\n\r\n${CANARY}`,
        ),
    ]),
  ),
  ...Object.fromEntries(
    [
      ['no-location', 'x: '],
      ['empty', 'location: '],
      ['itself', 'location: /to-itself?'],
      ['junk', `location: http://[${CANARY}`],
      ['bytes', `location: \u0001\u00ff\u00fe http://${CANARY}\u007f`],
      ['no-host', `location: http:///?#${CANARY}`],
      ['file', `location: file:///etc/${CANARY}`],
      ['data', `location: data:image/png;base64,${CANARY}`],
      ['script', `location: javascript:${CANARY}`],
      ['password', `location: http://user:${CANARY}@127.0.0.1/`],
      ['private', `location: http://10.0.0.1/${CANARY}`],
      ['metadata', `location: http://169.254.169.254/${CANARY}`],
      ['loopback', `location: http://127.0.0.2/${CANARY}`],
      ['mapped', `location: http://[::ffff:127.0.0.1]/${CANARY}`],
      ['other-name', `location: http://${CANARY}.invalid/`],
      ['private-name', `location: http://inside.test/${CANARY}`],
      ['port', `location: http://8.8.8.8:22/${CANARY}`],
      ['far', `location: /${CANARY.repeat(1_200)}`],
    ].map(([name, header]) => [
      `/to-${name}`,
      (socket: Socket) => void socket.end(`HTTP/1.1 302 ${CANARY}\r\n${header}\r\ncontent-length: 0\r\n\r\n`, 'latin1'),
    ]),
  ),
};

const OK = `HTTP/1.1 200 ${CANARY}\r\nx: ${CANARY}\r\n`;
/** A host's failures after a success status. */
export const AFTER_SUCCESS: Readonly<Record<string, RawScript>> = {
  '/page': (socket) => void socket.end(`${OK}\r\n<html>${CANARY}`),
  '/empty': (socket) => void socket.end(`HTTP/1.1 204 ${CANARY}\r\n\r\n`),
  '/cut': (socket) => void socket.end(`${OK}content-length: 500\r\n\r\n${CANARY}`),
  '/cut-by-reset': (socket) =>
    void socket.write(`${OK}content-length: 500\r\n\r\n${CANARY}`, () => socket.resetAndDestroy()),
  '/silent-body': (socket) => void socket.write(`${OK}content-length: 500\r\n\r\n${CANARY}`),
  '/slow-body': (socket) => trickle(socket, 'x', `${OK}\r\n${CANARY}`),
  '/endless-body': (socket) => flood(socket, CANARY, `${OK}\r\n`),
  '/announced': (socket) => void socket.write(`${OK}content-length: 999999999999\r\n\r\n${CANARY}`),
  '/bad-chunk': (socket) => void socket.end(`${OK}transfer-encoding: chunked\r\n\r\n${CANARY}\r\n`),
  '/huge-chunk': (socket) => void socket.end(`${OK}transfer-encoding: chunked\r\n\r\n${'f'.repeat(40)}\r\n${CANARY}`),
  '/endless-extension': (socket) => flood(socket, CANARY, `${OK}transfer-encoding: chunked\r\n\r\n5;${CANARY}=`),
  '/slow-extension': (socket) => trickle(socket, 'x', `${OK}transfer-encoding: chunked\r\n\r\n5;${CANARY}=`),
  '/endless-extensions': (socket) => flood(socket, `1;${CANARY}\r\nx\r\n`, `${OK}transfer-encoding: chunked\r\n\r\n`),
  '/endless-trailers': (socket) =>
    flood(socket, `x: ${CANARY}\r\n`, `${OK}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n`),
  '/slow-trailers': (socket) =>
    trickle(socket, 'x', `${OK}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx: ${CANARY}`),
  '/junk-gzip': (socket) => void socket.end(`${OK}content-encoding: gzip\r\n\r\n${CANARY}`),
  '/junk-br': (socket) => void socket.end(`${OK}content-encoding: br\r\n\r\n${CANARY}`),
  '/junk-deflate': (socket) => void socket.end(`${OK}content-encoding: deflate\r\n\r\n${CANARY}`),
  '/junk-coding': (socket) => void socket.end(`${OK}content-encoding: "${CANARY}\u0001"\r\n\r\n${CANARY}`),
};

/** Answers each path with its own failure. */
export const hostile: RawScript = (socket, path) =>
  (BEFORE_SUCCESS[path.replace(/\?.*/, '')] ?? AFTER_SUCCESS[path] ?? ((other) => void other.destroy()))(socket, path);

/** A TLS host with an untrusted certificate that has the canary in every name. */
export function startStrangeTls(folder: string): Promise<TlsHost> {
  return startTlsHost(folder, `/CN=${CANARY}/O=${CANARY}/OU=${CANARY}`, `DNS:${CANARY}.example`, CANARY);
}

export interface TlsHost extends AsyncDisposable {
  readonly port: number;
  /** path of the self-signed certificate */
  readonly certificate: string;
  /** names that clients requested (SNI) */
  readonly names: string[];
}

/** @param altName such as `DNS:a.example,IP:127.0.0.1`; @param answer to each connection, whatever its request */
export async function startTlsHost(
  folder: string,
  subject: string,
  altName: string,
  answer: string | Buffer,
): Promise<TlsHost> {
  const [key, certificate] = [join(folder, `${randomUUID()}.key`), join(folder, `${randomUUID()}.crt`)];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const files = ['-keyout', key, '-out', certificate, '-subj', subject, '-addext', `subjectAltName=${altName}`];
  execFileSync('openssl', [...request, ...files], { stdio: 'ignore' });
  const names: string[] = [];
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (socket) => {
    names.push(typeof socket.servername === 'string' ? socket.servername : '');
    socket.on('error', () => undefined).once('data', () => socket.end(answer));
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: portOf(server),
    certificate,
    names,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}
