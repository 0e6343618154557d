/** Stands for a picture in a request that is printed as code. */
export const PICTURE = Symbol('picture');
export type Printed = string | number | boolean | null | typeof PICTURE | readonly Printed[] | PrintedRecord;
export interface PrintedRecord {
  readonly [name: string]: Printed | undefined;
}

/** How a language writes what JSON writes otherwise. */
export interface Language {
  readonly true: string;
  readonly false: string;
  readonly null: string;
  /** an expression for the picture */
  readonly picture: string;
  /** names of members need no quotes */
  readonly bareNames: boolean;
  readonly string: (json: string) => string;
}
export const JSON_LANGUAGE: Language = {
  true: 'true',
  false: 'false',
  null: 'null',
  picture: '"…"',
  bareNames: false,
  string: (json) => json,
};

/** Prints a value, one member a line. The literals of strings are JSON's: JavaScript and Python read them alike. */
export function print(value: Printed, language: Language, indent = ''): string {
  if (value === PICTURE) return language.picture;
  if (value === null) return language.null;
  if (typeof value === 'boolean') return value ? language.true : language.false;
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return language.string(JSON.stringify(value));
  const inner = `${indent}  `;
  if (isList(value))
    return enclosed(
      '[',
      value.map((item) => inner + print(item, language, inner)),
      ']',
      indent,
    );
  const members = Object.entries(value).flatMap(([name, member]) =>
    member === undefined
      ? []
      : [`${inner}${language.bareNames ? name : JSON.stringify(name)}: ${print(member, language, inner)}`],
  );
  return enclosed('{', members, '}', indent);
}

function isList(value: readonly Printed[] | PrintedRecord): value is readonly Printed[] {
  return Array.isArray(value);
}

function enclosed(open: string, lines: readonly string[], close: string, indent: string): string {
  return lines.length === 0 ? open + close : `${open}\n${lines.join(',\n')}\n${indent}${close}`;
}
