import type { Audit } from '#runtime/audit';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import { LiveKeys } from '../keys/live-keys.ts';
import { LiveTokens } from './live-tokens.ts';

/** The key file and the file of identity providers, in their present state. At least one of them is there. */
export interface LiveCallers {
  readonly keys: LiveKeys | undefined;
  readonly tokens: LiveTokens | undefined;
  close(): void;
}

/**
 * @returns undefined if neither is configured: then no caller needs a key
 * @throws Error that names a file and what is wrong with it
 */
export function followCallers(
  files: { readonly keys: string | undefined; readonly identity: string | undefined },
  clock: Clock,
  log: Log,
  audit: Audit,
): LiveCallers | undefined {
  if (files.keys === undefined && files.identity === undefined) return undefined;
  const keys = files.keys === undefined ? undefined : new LiveKeys(files.keys, log, audit);
  const tokens = files.identity === undefined ? undefined : new LiveTokens(files.identity, clock, log, audit);
  return {
    keys,
    tokens,
    close: () => {
      keys?.close();
      tokens?.close();
    },
  };
}
