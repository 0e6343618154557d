import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { Log } from '#runtime/log';

/** How often the files are read, in ms: mounted secrets and network drives report no changes. */
const LOOK_EVERY_MS = 2_000;
/** A longer file is no certificate. */
const MOST_CHARACTERS = 1_000_000;

/** Paths of PEM files: the certificate with those that lead to its authority, and its private key. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** @returns undefined: the public port speaks plain HTTP */
export function tlsFiles(settings: {
  readonly GATEWAY_TLS_CERT_FILE?: string | undefined;
  readonly GATEWAY_TLS_KEY_FILE?: string | undefined;
}): CertificateFiles | undefined {
  const { GATEWAY_TLS_CERT_FILE: certificate, GATEWAY_TLS_KEY_FILE: key } = settings;
  return certificate === undefined || key === undefined ? undefined : { certificate, key };
}

/**
 * The certificate of a port. If its files change, new connections get the new one, and running ones stay. While the files do
 * not fit together, for example between two writes, the former certificate stays in use, and the log says why.
 */
export class Certificate {
  readonly #files: CertificateFiles;
  readonly #log: Log;
  #pair: Pair;
  #trouble = '';

  /** @throws Error in one sentence that names the setting and what is wrong, and nothing of the key */
  constructor(files: CertificateFiles, log: Log) {
    this.#files = files;
    this.#log = log;
    try {
      this.#pair = checked(readFileSync(files.certificate, 'utf8'), readFileSync(files.key, 'utf8'));
    } catch (cause) {
      throw new Error(`bad configuration\n  GATEWAY_TLS_CERT_FILE, GATEWAY_TLS_KEY_FILE: ${reasonOf(cause, files)}`, {
        cause,
      });
    }
    this.#tell();
  }

  get options() {
    return { cert: this.#pair.cert, key: this.#pair.key, minVersion: 'TLSv1.2' } as const;
  }

  /** Gives the server each new certificate. */
  follow(server: Server): void {
    const timer = setInterval(() => void this.#look(server), LOOK_EVERY_MS).unref();
    server.once('close', () => clearInterval(timer));
  }

  async #look(server: Server): Promise<void> {
    const { certificate, key } = this.#files;
    try {
      const [cert, secret] = await Promise.all([readFile(certificate, 'utf8'), readFile(key, 'utf8')]);
      if (cert !== this.#pair.cert || secret !== this.#pair.key) {
        this.#pair = checked(cert, secret);
        server.setSecureContext(this.options);
        this.#tell();
      }
      this.#trouble = '';
    } catch (cause) {
      const trouble = reasonOf(cause, this.#files);
      if (trouble !== this.#trouble)
        this.#log.error({ trouble }, 'the TLS certificate cannot be used; the previous one stays in use');
      this.#trouble = trouble;
    }
  }

  #tell(): void {
    this.#log.info({ file: this.#files.certificate, until: this.#pair.until }, 'TLS certificate read');
  }
}

interface Pair {
  readonly cert: string;
  readonly key: string;
  /** the certificate is valid until then */
  readonly until: string;
}

/** Why a pair cannot be used; says nothing of the key. */
class Unfit extends Error {}

/** @throws Unfit */
function checked(cert: string, key: string): Pair {
  if (cert.length > MOST_CHARACTERS || key.length > MOST_CHARACTERS) throw new Unfit('a file is too long');
  const certificate = attempt(() => new X509Certificate(cert), 'the first file holds no certificate in PEM');
  const secret = attempt(() => createPrivateKey(key), 'the second file holds no private key in PEM without a password');
  if (!certificate.checkPrivateKey(secret)) throw new Unfit('the key does not belong to the certificate');
  const until = new Date(certificate.validTo);
  if (until.getTime() <= Date.now()) throw new Unfit(`the certificate was valid until ${until.toISOString()}`);
  attempt(() => createSecureContext({ cert, key }), 'OpenSSL refuses the certificate, or one that it names');
  return { cert, key, until: until.toISOString() };
}

function attempt<T>(read: () => T, why: string): T {
  try {
    return read();
  } catch {
    throw new Unfit(why);
  }
}

function reasonOf(cause: unknown, { certificate, key }: CertificateFiles): string {
  if (cause instanceof Unfit) return `${cause.message} (${certificate}, ${key})`;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : 'unreadable';
  return `${certificate} or ${key} cannot be read (${code})`;
}
