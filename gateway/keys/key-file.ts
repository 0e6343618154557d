import { LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { ANYONE, NOBODY } from './caller.ts';
import { RIGHTS } from './rights.ts';

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/i, 'must be the SHA-256 of the key in 64 hexadecimal digits, never the key itself')
  .toLowerCase();
/** Longer ones are cut by servers and proxies. */
const LONGEST_URL = 2_048;
/** Where the gateway reports that a background response is over, and the secret that signs it. */
const Webhook = z.strictObject({
  url: z
    .string()
    .max(LONGEST_URL, `must have at most ${LONGEST_URL} characters`)
    .refine(isWebUrl, 'must be a URL such as https://example.com/hook, without a user name or password'),
  secret: z
    .string()
    .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'must be whsec_ and base64, as penstock keys writes it'),
});
export type Webhook = Readonly<z.infer<typeof Webhook>>;

/** One name with up to two keys, so that one can be replaced while the other works, as on Azure's endpoints. */
export const KeyEntry = z
  .strictObject({
    id: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'must be 1 to 64 letters, digits, dots, hyphens or underscores')
      .refine((id) => id !== ANYONE.id && id !== NOBODY.id, 'is a name that the gateway itself uses'),
    primary: digest.optional(),
    secondary: digest.optional(),
    ...RIGHTS,
    webhook: Webhook.optional(),
  })
  .refine(({ primary, secondary }) => primary !== undefined || secondary !== undefined, 'has no key');
export type KeyEntry = z.infer<typeof KeyEntry>;

const KeyFile = z.strictObject({
  keys: z
    .array(KeyEntry)
    .nullable()
    .transform((keys) => keys ?? []),
});

function isWebUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'https:' || protocol === 'http:') && username === '' && password === '';
}

/**
 * The text as a YAML document, which keeps comments; JSON is read too.
 * @throws Error with the line at fault; no message quotes the text, because it may hold a key by mistake
 */
export function openKeyDocument(text: string): Document.Parsed {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const [error] = document.errors;
  if (error === undefined) return document;
  throw new Error(`line ${lineCounter.linePos(error.pos[0]).line} is not YAML (${error.code})`);
}

/**
 * Parses a key file; an empty one has no keys.
 * @throws Error that names every bad field, an id given twice, or two names with the same key
 */
export function parseKeyFile(text: string): KeyEntry[] {
  const value: unknown = openKeyDocument(text).toJS() ?? { keys: [] };
  const parsed = KeyFile.safeParse(value);
  if (!parsed.success)
    throw new Error(parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`.trim()).join('; '));
  const owners = new Map<string, string>();
  const ids = new Set<string>();
  for (const { id, primary, secondary } of parsed.data.keys) {
    if (ids.has(id)) throw new Error(`the id ${id} is given twice`);
    ids.add(id);
    for (const hash of [primary, secondary]) {
      if (hash === undefined) continue;
      const owner = owners.get(hash);
      if (owner !== undefined) throw new Error(`a key of ${owner} is given again for ${id}`);
      owners.set(hash, id);
    }
  }
  return parsed.data.keys;
}
