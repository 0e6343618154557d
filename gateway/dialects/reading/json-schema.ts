import { isObject } from './fields.ts';
import { LIMITS } from './limits.ts';
import { grammarFault, Quantifiers, type Fault } from './pattern.ts';

/** Keywords whose members the schema's author names. */
const NAMED: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
]);
/** Keywords with values, not schemas. */
const VALUES: ReadonlySet<string> = new Set(['enum', 'const', 'default', 'examples', 'example', 'required']);
/** Keywords for human readers only. */
const WORDS: ReadonlySet<string> = new Set(['description', 'title', '$comment']);
const NUMBERS: ReadonlySet<string> = new Set(
  ['Length', 'Items', 'Properties', 'Contains'].flatMap((of) => [`min${of}`, `max${of}`]),
);
type Path = readonly (string | number)[];

/**
 * Searches a JSON schema for parts that are too costly for an engine, or that it answers with its own failure. The
 * engine decides whether it supports the rest.
 * @returns the first fault
 */
export function schemaFault(schema: unknown): Fault | undefined {
  return new Walk().schema(schema, []);
}

/** @returns the fault of a text that must hold a schema, or a structural tag, as JSON */
export function schemaTextFault(text: string): Fault | undefined {
  try {
    const schema: unknown = JSON.parse(text);
    return isObject(schema) ? schemaFault(schema) : { at: [], problem: 'must hold an object as JSON' };
  } catch {
    return { at: [], problem: 'is not valid JSON' };
  }
}

class Walk {
  #properties = 0;
  #enums = 0;
  #texts = 0;
  readonly #quantifiers = new Quantifiers();

  schema(value: unknown, at: Path): Fault | undefined {
    if (at.length > LIMITS.nesting.most) return { at: at.slice(0, 1), limit: LIMITS.nesting, seen: at.length };
    if (typeof value === 'string') this.#texts += value.length;
    if (Array.isArray(value)) return this.#each(value.entries(), at);
    if (!isObject(value)) return this.#tooMany(at);
    for (const key in value) {
      const fault = this.#keyword(key, value[key], [...at, key]);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #each(items: Iterable<readonly [string | number, unknown]>, at: Path): Fault | undefined {
    for (const [key, item] of items) {
      const fault = this.schema(item, [...at, key]);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #keyword(key: string, value: unknown, at: Path): Fault | undefined {
    if (WORDS.has(key)) return wordsFault(value, at);
    if (VALUES.has(key)) return this.#values(key, value, at);
    if (NAMED.has(key) && isObject(value)) return this.#named(key, value, at);
    if (key === 'pattern' && typeof value === 'string') return this.#quantifiers.faultOf(value, at);
    if (key === 'grammar' && typeof value === 'string') return grammarFault(value, at);
    if (NUMBERS.has(key)) return numberFault(value, at);
    if (key === '$ref' && typeof value === 'string' && !value.startsWith('#'))
      return { at, problem: 'must begin with #: only definitions inside the schema are supported' };
    this.#texts += key.length;
    return this.schema(value, at);
  }

  #named(key: string, members: Readonly<Record<string, unknown>>, at: Path): Fault | undefined {
    for (const name in members) {
      this.#properties += 1;
      this.#texts += name.length;
      const inside = [...at, name];
      const fault =
        this.#tooMany(at) ??
        (key === 'patternProperties' ? this.#quantifiers.faultOf(name, at) : undefined) ??
        this.schema(members[name], inside);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #values(key: string, value: unknown, at: Path): Fault | undefined {
    if (key === 'enum') {
      if (!Array.isArray(value) || value.length === 0) return { at, problem: 'must be a list of values, at least one' };
      this.#enums += value.length;
    }
    if (this.#tooMany(at) === undefined) this.#texts += JSON.stringify(value).length;
    return this.#tooMany(at);
  }

  #tooMany(at: Path): Fault | undefined {
    if (this.#properties > LIMITS.schemaProperties.most)
      return { at: [], limit: LIMITS.schemaProperties, seen: this.#properties };
    if (this.#enums > LIMITS.schemaEnums.most) return { at, limit: LIMITS.schemaEnums, seen: this.#enums };
    return this.#texts > LIMITS.schemaTexts.most ? { at: [], limit: LIMITS.schemaTexts, seen: this.#texts } : undefined;
  }
}

function numberFault(value: unknown, at: Path): Fault | undefined {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    return { at, problem: 'must be a whole number, 0 or more' };
  return value > LIMITS.repetitions.most ? { at, limit: LIMITS.repetitions, seen: value } : undefined;
}

function wordsFault(value: unknown, at: Path): Fault | undefined {
  const seen = typeof value === 'string' ? value.length : 0;
  return seen > LIMITS.description.most ? { at, limit: LIMITS.description, seen } : undefined;
}
