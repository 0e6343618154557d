import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A certificate authority of a test's own, and what it issues, as files of a folder. */
export class Authority {
  readonly file: string;
  readonly #folder: string;
  #issued = 0;

  constructor(folder: string) {
    this.#folder = folder;
    this.file = join(folder, 'ca.crt');
    openssl(
      'req',
      '-x509',
      ...KEY,
      '-days',
      '2',
      '-keyout',
      this.#of('ca.key'),
      '-out',
      this.file,
      '-subj',
      '/CN=Test CA',
    );
  }

  get pem(): string {
    return readFileSync(this.file, 'utf8');
  }

  /** @param days below 0: it has expired @returns the files of a certificate for `localhost`, and of its key */
  issue(days = 2): { readonly certificate: string; readonly key: string } {
    this.#issued += 1;
    const [certificate, key, request] = ['crt', 'key', 'csr'].map((end) => this.#of(`${this.#issued}.${end}`));
    if (certificate === undefined || key === undefined || request === undefined) throw new Error('no names');
    openssl('req', ...KEY, '-keyout', key, '-out', request, '-subj', '/CN=localhost');
    const names = this.#of('names');
    writeFileSync(names, 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    const by = ['-CA', this.file, '-CAkey', this.#of('ca.key'), '-CAcreateserial', '-extfile', names];
    openssl('x509', '-req', '-in', request, ...by, '-days', String(days), '-out', certificate);
    return { certificate, key };
  }

  #of(name: string): string {
    return join(this.#folder, name);
  }
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'ignore' });
}
