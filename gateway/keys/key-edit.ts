import { randomBytes } from 'node:crypto';
import { isMap, isSeq, type Document, type YAMLMap, type YAMLSeq } from 'yaml';
import { openKeyDocument, parseKeyFile, type Webhook } from './key-file.ts';
import { hashOfKey } from './key-ring.ts';

export type KeyPlace = 'primary' | 'secondary';

/** Where each field of an entry is that belongs to both keys of a name. */
const FIELDS = {
  models: ['models'],
  routes: ['routes'],
  tiers: ['tiers'],
  scopes: ['scopes'],
  weight: ['weight'],
  waiting_jobs: ['caps', 'waiting_jobs'],
  waiting_bytes: ['caps', 'waiting_bytes'],
  requests_per_minute: ['limits', 'requests_per_minute'],
  tokens_per_minute: ['limits', 'tokens_per_minute'],
  tokens_per_day: ['limits', 'tokens_per_day'],
} as const;
type Field = keyof typeof FIELDS;
const isField = (name: string): name is Field => Object.hasOwn(FIELDS, name);

/** New values of fields; `none` removes a field, an absent one stays as it is. */
export type Scopes = Readonly<Partial<Record<Field, readonly string[] | number | 'none' | undefined>>>;

const HEAD = ` Keys of Penstock's callers, as SHA-256: the keys themselves are nowhere. Written by penstock keys.
 models: names of model cards; routes: paths, each with all that is under it; absent: all of them.
 webhook: its secret is no hash, because it signs: keep this file to yourself.`;

/** 256 random bits; the prefix lets scanners for leaked secrets find it. */
export function newKey(): string {
  return `penstock_${randomBytes(32).toString('base64url')}`;
}

/** 256 random bits in the form of the Standard Webhooks specification. */
export function newWebhookSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

/**
 * Adds a new name with its first key, or another key for an existing name. Comments of the file stay.
 * @param text of the file; empty for a new one
 * @param place without it: `primary`, of a new name
 * @returns the new text of the file
 * @throws Error in one sentence
 */
export function withKey(text: string, id: string, place: KeyPlace | undefined, key: string, scopes: Scopes): string {
  parseKeyFile(text);
  const document = openKeyDocument(text);
  const keys = listOf(document);
  const entry = entryOf(keys, id);
  const hash = hashOfKey(key).toString('hex');
  if (entry === undefined) {
    if (place === 'secondary') throw new Error(`there is no key ${id} yet; create it without --secondary first`);
    const added = document.createNode({ id, primary: hash });
    setFields(document, added, scopes);
    keys.add(added);
  } else {
    if (place === undefined) throw new Error(`there is a key ${id} already; ${freePlace(entry, id)}`);
    if (entry.has(place)) throw new Error(`${id} has a ${place} key already; revoke it with --${place} first`);
    if (Object.values(scopes).some((value) => value !== undefined))
      throw new Error(
        `models, weight, limits and the like belong to both keys of ${id}; change them with penstock keys set`,
      );
    entry.set(place, hash);
  }
  return checked(document);
}

/**
 * Changes the fields that belong to both keys of a name. Comments of the file stay.
 * @returns the new text of the file
 * @throws Error in one sentence
 */
export function withScopes(text: string, id: string, scopes: Scopes): string {
  parseKeyFile(text);
  const document = openKeyDocument(text);
  const entry = entryOf(listOf(document), id);
  if (entry === undefined) throw new Error(`there is no key ${id}`);
  setFields(document, entry, scopes);
  return checked(document);
}

/**
 * Sets where the events of a name go, or removes that. Comments of the file stay.
 * @returns the new text of the file
 * @throws Error in one sentence
 */
export function withWebhook(text: string, id: string, webhook: Webhook | undefined): string {
  parseKeyFile(text);
  const document = openKeyDocument(text);
  const entry = entryOf(listOf(document), id);
  if (entry === undefined) throw new Error(`there is no key ${id}`);
  if (webhook !== undefined) entry.set('webhook', document.createNode(webhook));
  else if (!entry.delete('webhook')) throw new Error(`${id} has no webhook`);
  return checked(document);
}

/**
 * Removes a name, or one of its two keys.
 * @returns the new text of the file
 * @throws Error in one sentence
 */
export function withoutKey(text: string, id: string, place: KeyPlace | undefined): string {
  parseKeyFile(text);
  const document = openKeyDocument(text);
  const keys = listOf(document);
  const entry = entryOf(keys, id);
  if (entry === undefined) throw new Error(`there is no key ${id}`);
  if (place !== undefined && !entry.has(place)) throw new Error(`${id} has no ${place} key`);
  const isLast = place !== undefined && !entry.has(place === 'primary' ? 'secondary' : 'primary');
  if (place === undefined || isLast) keys.items.splice(keys.items.indexOf(entry), 1);
  else entry.delete(place);
  return checked(document);
}

function listOf(document: Document.Parsed): YAMLSeq {
  if (document.contents === null) document.commentBefore ??= HEAD;
  const found = document.get('keys');
  if (isSeq(found)) return found;
  const list = document.createNode([]);
  document.set('keys', list);
  return list;
}

function entryOf(keys: YAMLSeq, id: string): YAMLMap | undefined {
  return keys.items.filter((item) => isMap(item)).find((entry) => entry.get('id') === id);
}

function setFields(document: Document.Parsed, entry: YAMLMap, scopes: Scopes): void {
  for (const [name, value] of Object.entries(scopes)) {
    if (value === undefined || !isField(name)) continue;
    const path = FIELDS[name];
    if (value !== 'none') entry.setIn(path, document.createNode(value));
    else if (entry.hasIn(path)) {
      entry.deleteIn(path);
      const group = entry.get(path[0]);
      if (isMap(group) && group.items.length === 0) entry.delete(path[0]);
    }
  }
}

/** What a caller may do who has no place for another key. */
function freePlace(entry: YAMLMap, id: string): string {
  if (!entry.has('secondary')) return '--secondary gives it a second one';
  if (!entry.has('primary')) return '--primary gives it a second one';
  return `it has two; revoke one first: penstock keys revoke --id ${id} --primary`;
}

/** Checks that every gateway can read the new text. */
function checked(document: Document.Parsed): string {
  const text = document.toString({ lineWidth: 0 });
  parseKeyFile(text);
  return text;
}
