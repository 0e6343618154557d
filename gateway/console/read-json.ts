/**
 * Reads what the gateway sends. Page and gateway are of one build, and a schema of zod would more than double the
 * page. So only the shape is checked that a view needs in order not to fail: what is a list, a record or a text.
 */
export type Loose = Readonly<Record<string, unknown>>;

export function isRecord(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @returns undefined if it is no JSON */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function textIn(record: Loose, name: string): string | undefined {
  const value = record[name];
  return typeof value === 'string' ? value : undefined;
}

export function numberIn(record: Loose, name: string): number | undefined {
  const value = record[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** All of these members are lists of records. */
export function hasLists(record: Loose, ...names: readonly string[]): boolean {
  return names.every((name) => {
    const list = record[name];
    return Array.isArray(list) && list.every(isRecord);
  });
}
