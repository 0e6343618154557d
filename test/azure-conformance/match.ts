/**
 * The differences between a value and a pattern; empty if it matches. An object requires its own keys and ignores others. A
 * list requires its length; `/…/` is a regular expression, `<absent>` means no value or null, `<some>`, `<text>`,
 * `<number>` and `<list>` mean any value of that kind. Everything else must be equal.
 */
export function differences(at: string, pattern: unknown, seen: unknown): string[] {
  if (fits(pattern, seen)) return [];
  if (Array.isArray(pattern) && Array.isArray(seen) && pattern.length === seen.length)
    return pattern.flatMap((item, index) => differences(`${at}[${index}]`, item, seen[index]));
  if (isObject(pattern) && isObject(seen))
    return Object.entries(pattern).flatMap(([key, item]) => differences(`${at}.${key}`, item, seen[key]));
  return [`${at}: expected ${show(pattern)}, seen ${show(seen)}`];
}

function fits(pattern: unknown, seen: unknown): boolean {
  if (typeof pattern !== 'string') return pattern === seen;
  switch (pattern) {
    case '<absent>':
      return seen === undefined || seen === null;
    case '<some>':
      return seen !== undefined && seen !== null;
    case '<text>':
      return typeof seen === 'string' && seen !== '';
    case '<number>':
      return typeof seen === 'number';
    case '<list>':
      return Array.isArray(seen);
    default: {
      const [, source, flags] = /^\/(.+)\/(i?)$/s.exec(pattern) ?? [];
      if (source === undefined) return pattern === seen;
      const text = typeof seen === 'number' ? String(seen) : seen;
      return typeof text === 'string' && new RegExp(source, flags).test(text);
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 160 ? `${text.slice(0, 160)}…` : text;
}
