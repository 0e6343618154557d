import { isDeepStrictEqual } from 'node:util';
import type { Act } from '#runtime/audit';
import type { KeyEntry } from './key-file.ts';

/** What one caller's entry became: one administrative act. */
export type KeyChange = Pick<Act, 'act' | 'what' | 'fields'>;

/** Names of the fields only: values may be hashes and secrets. */
export function changesBetween(before: readonly KeyEntry[], after: readonly KeyEntry[]): KeyChange[] {
  const former = new Map(before.map((entry) => [entry.id, entry]));
  const present = new Set(after.map(({ id }) => id));
  return [
    ...after.flatMap((entry): KeyChange[] => {
      const earlier = former.get(entry.id);
      const fields = changedFields(earlier, entry);
      if (earlier === undefined) return [{ act: 'key.created', what: entry.id, fields }];
      return fields.length === 0 ? [] : [{ act: 'key.changed', what: entry.id, fields }];
    }),
    ...before.flatMap(({ id }): KeyChange[] => (present.has(id) ? [] : [{ act: 'key.revoked', what: id }])),
  ];
}

function changedFields(before: KeyEntry | undefined, after: KeyEntry): string[] {
  const [old, now]: [Map<string, unknown>, Map<string, unknown>] = [
    new Map(Object.entries(before ?? { id: after.id })),
    new Map(Object.entries(after)),
  ];
  return [...new Set([...old.keys(), ...now.keys()])].filter(
    (name) => !isDeepStrictEqual(old.get(name), now.get(name)),
  );
}
