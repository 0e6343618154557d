export interface JsonError {
  /** characters from the beginning */
  readonly position: number;
  /** in the words of Python's json module */
  readonly reason: string;
}

/** Where and why Python's decoder stops in invalid JSON. JavaScript's decoder does not always report the position. */
export function jsonErrorAt(text: string): JsonError {
  const found = new Scanner(text).scan();
  return found ?? { position: text.length, reason: 'Extra data' };
}

class Scanner {
  #at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): JsonError | undefined {
    return this.#value() ?? (this.#blank() < this.#text.length ? this.#problem('Extra data') : undefined);
  }

  #value(): JsonError | undefined {
    this.#blank();
    const start = this.#at;
    const letter = this.#text[start];
    if (letter === '{') return this.#members();
    if (letter === '[') return this.#items();
    if (letter === '"') return this.#string();
    const rest = this.#text.slice(start, start + 400);
    const literal = /^(true|false|null|NaN|-?Infinity|-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?)/.exec(rest);
    if (literal === null) return this.#problem('Expecting value');
    this.#at += literal[0].length;
    return undefined;
  }

  #items(): JsonError | undefined {
    this.#at += 1;
    this.#blank();
    if (this.#skip(']')) return undefined;
    for (;;) {
      const bad = this.#value();
      if (bad !== undefined) return bad;
      this.#blank();
      if (this.#skip(']')) return undefined;
      if (!this.#skip(',')) return this.#problem("Expecting ',' delimiter");
    }
  }

  #members(): JsonError | undefined {
    this.#at += 1;
    this.#blank();
    if (this.#skip('}')) return undefined;
    for (;;) {
      this.#blank();
      if (this.#text[this.#at] !== '"') return this.#problem('Expecting property name enclosed in double quotes');
      const name = this.#string();
      if (name !== undefined) return name;
      this.#blank();
      if (!this.#skip(':')) return this.#problem("Expecting ':' delimiter");
      const bad = this.#value();
      if (bad !== undefined) return bad;
      this.#blank();
      if (this.#skip('}')) return undefined;
      if (!this.#skip(',')) return this.#problem("Expecting ',' delimiter");
    }
  }

  #string(): JsonError | undefined {
    const start = this.#at;
    this.#at += 1;
    while (this.#at < this.#text.length) {
      const letter = this.#text[this.#at] ?? '';
      if (letter === '"') {
        this.#at += 1;
        return undefined;
      }
      if (letter < ' ') return this.#problem('Invalid control character at');
      this.#at += letter === '\\' ? 2 : 1;
    }
    return { position: start, reason: 'Unterminated string starting at' };
  }

  #blank(): number {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at += 1;
    return this.#at;
  }

  #skip(letter: string): boolean {
    if (this.#text[this.#at] !== letter) return false;
    this.#at += 1;
    return true;
  }

  #problem(reason: string): JsonError {
    return { position: this.#at, reason };
  }
}
