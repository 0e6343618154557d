import { isDeepStrictEqual } from 'node:util';
import { LineCounter, parseDocument } from 'yaml';

interface Leaf {
  /** as the file writes it */
  readonly path: string;
  readonly value: unknown;
}

/** A value of the file that was understood, and its path. */
export interface Found<T> {
  readonly value: T;
  readonly path: string;
}

/** Sections with facts of the model, in the order of precedence. */
const SECTIONS = ['system_metadata', 'tags', 'properties', ''] as const;

/**
 * A spec file of Azure's model catalog, of either generation: `system_metadata` of the new one, `tags` and `properties`
 * of the old one, or a mix. Keys are compared without case, blanks, hyphens and underscores, in which the two
 * generations differ most. It remembers what was read, so that it can list the rest.
 */
export class SpecFile {
  readonly #leaves = new Map<string, Leaf>();
  readonly #read = new Set<Leaf>();

  /** @throws Error with the line that is not YAML, or if the file is no mapping */
  constructor(text: string) {
    const lineCounter = new LineCounter();
    const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: false });
    const [error] = document.errors;
    if (error !== undefined)
      throw new Error(`line ${lineCounter.linePos(error.pos[0]).line} is not YAML: ${error.message}`);
    const value: unknown = document.toJS();
    if (!isMapping(value)) throw new Error('it is no spec file: its top level is no mapping');
    this.#flatten(value, '');
  }

  /**
   * The first readable value among the sections, in their order. Others with the same value count as read; those with
   * another value stay unread.
   * @param keys the fact's names; a dot goes into a mapping
   * @param read returns undefined for a value that it does not understand
   */
  take<T>(keys: readonly string[], read: (value: unknown) => T | undefined): Found<T> | undefined {
    let found: Found<T> | undefined;
    for (const section of SECTIONS) {
      for (const key of keys) {
        const leaf = this.#leaves.get(plain(section === '' ? key : `${section}.${key}`));
        const value = leaf === undefined ? undefined : read(leaf.value);
        if (leaf === undefined || value === undefined) continue;
        found ??= { value, path: leaf.path };
        if (isDeepStrictEqual(found.value, value)) this.#read.add(leaf);
      }
    }
    return found;
  }

  /** The unread entries, with their values in short. */
  left(): string[] {
    return [...this.#leaves.values()]
      .filter((leaf) => !this.#read.has(leaf))
      .map(({ path, value }) => `${path} (${shortened(value)})`);
  }

  #flatten(mapping: Readonly<Record<string, unknown>>, prefix: string): void {
    for (const [key, value] of Object.entries(mapping)) {
      const path = prefix + key.trim();
      if (isMapping(value)) this.#flatten(value, `${path}.`);
      else if (!this.#leaves.has(plain(path))) this.#leaves.set(plain(path), { path, value });
    }
  }
}

function plain(path: string): string {
  return path.toLowerCase().replace(/[-_ ]/g, '');
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shortened(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  const line = text.replace(/\s+/g, ' ').trim();
  if (line === '') return 'empty';
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
