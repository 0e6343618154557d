import type { ConsoleSession } from '#contract/console';
import { isSession } from './data.ts';
import { Gateway } from './gateway.ts';
import type { Refusal } from './refusal.ts';
import { Watched } from './watched.ts';

export type SessionState =
  | { readonly kind: 'loading' }
  | { readonly kind: 'asking'; readonly note: string | undefined }
  | { readonly kind: 'open'; readonly session: ConsoleSession }
  | { readonly kind: 'failed'; readonly refusal: Refusal };

const WRONG = 'The gateway does not accept this key. It may be mistyped, revoked or expired.';
const NO_KEY = 'A key has letters, digits and signs, without spaces.';

/** Who uses the page: what the gateway says of the key, and whether a key must be asked for. */
export class Session {
  readonly state = new Watched<SessionState>({ kind: 'loading' });
  readonly gateway: Gateway;

  constructor() {
    this.gateway = new Gateway(() => this.#askAgain());
  }

  async load(): Promise<void> {
    this.state.set({ kind: 'loading' });
    const found = await this.gateway.get('/console/session', isSession);
    if (found.ok) this.state.set({ kind: 'open', session: found.value });
    else if (found.refusal.status !== 401) this.state.set({ kind: 'failed', refusal: found.refusal });
  }

  async useKey(key: string): Promise<void> {
    if (this.gateway.useKey(key)) await this.load();
    else this.state.set({ kind: 'asking', note: NO_KEY });
  }

  forgetKey(): void {
    this.gateway.forgetKey();
    this.state.set({ kind: 'asking', note: undefined });
  }

  #askAgain(): void {
    const note = this.gateway.hasKey ? WRONG : undefined;
    this.gateway.forgetKey();
    this.state.set({ kind: 'asking', note });
  }
}
