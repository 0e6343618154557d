import { createHash } from 'node:crypto';
import type { Audit, Who } from '#runtime/audit';
import type { Clock } from '#runtime/clock';
import { FollowedFile } from '#runtime/followed-file';
import type { Log } from '#runtime/log';
import { bearerOf, type Bearer } from './bearer.ts';
import { IssuerKeys, type IssuerView } from './issuer-keys.ts';
import { parseProviderFile } from './provider-file.ts';
import { verifyToken, type Known } from './verify-token.ts';

/** How often it is checked whether the keys of an issuer are due, in ms. */
const LOOK_EVERY_MS = 1_000;
/** Limit of the tokens that are remembered: some 1 kB each. */
const MOST_REMEMBERED = 10_000;

interface Remembered {
  readonly bearer: Bearer;
  /** in seconds since 1970 */
  readonly endsAt: number;
}

/**
 * Who bears a token, by the file of identity providers in its present state. A verified token is remembered by its hash
 * until it expires, because its signature costs some 0.1 ms of CPU. All are forgotten when the file or a key changes.
 */
export class LiveTokens {
  readonly #file: FollowedFile;
  readonly #timer: NodeJS.Timeout;
  #known: ReadonlyMap<string, Known & { readonly keys: IssuerKeys }> = new Map();
  /** replaced, not emptied: a token whose check runs at that time goes into the map before */
  #remembered = new Map<string, Remembered>();

  /** @throws Error that names the file and what is wrong with it */
  constructor(path: string, clock: Clock, log: Log, audit: Audit) {
    const forget = (): void => {
      this.#remembered = new Map();
    };
    const take = (text: string, by?: Who): void => {
      const before = [...this.#known.values()];
      const known = parseProviderFile(text).map((issuer) => {
        // Its keys stay when only the rights change, also while it is down.
        const same = before.find(
          ({ issuer: { url, jwksUrl, provider } }) =>
            url === issuer.url && jwksUrl === issuer.jwksUrl && provider.name === issuer.provider.name,
        );
        return [issuer.url, { issuer, keys: same?.keys ?? new IssuerKeys(issuer, clock, log, forget) }] as const;
      });
      this.#known = new Map(known);
      forget();
      if (by !== undefined) audit.record({ act: 'identity_file.read', what: path, who: by, result: 'done' });
      log.info({ file: path, issuers: known.length }, 'identity providers read');
      this.#look();
    };
    this.#file = new FollowedFile({
      path,
      name: 'file of identity providers',
      setting: 'GATEWAY_IDENTITY_FILE',
      unusable: 'the file of identity providers cannot be used; the previous ones stay in use',
      act: 'identity_file.read',
      take,
      audit,
      log,
    });
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  /** @throws Failure `unauthorized`, `issuer_unavailable` */
  async bearerOf(token: string): Promise<Bearer> {
    const remembered = this.#remembered;
    const hash = createHash('sha256').update(token).digest('base64');
    const found = remembered.get(hash);
    if (found !== undefined) {
      if (Math.floor(Date.now() / 1_000) < found.endsAt) return found.bearer;
      remembered.delete(hash);
    }
    const { claims, issuer, endsAt } = await verifyToken(token, this.#known);
    const bearer = bearerOf(claims, issuer);
    const [oldest] = remembered.size < MOST_REMEMBERED ? [] : remembered.keys();
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(hash, { bearer, endsAt });
    return bearer;
  }

  get views(): readonly IssuerView[] {
    return [...this.#known.values()].map(({ keys }) => keys.view);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#file.close();
  }

  #look(): void {
    for (const { keys } of this.#known.values()) keys.look();
  }
}
