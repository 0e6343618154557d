/** What may follow inside a JSON value (source: RFC 8259). */
const [FAULT, VALUE, FIRST, KEY, FIRST_KEY, COLON, AFTER] = [0, 1, 2, 3, 4, 5, 6];
const [TEXT, ESCAPE, HEX] = [7, 8, [9, 10, 11, 12]];
const [MINUS, ZERO, WHOLE, POINT, FRACTION, E, SIGN, EXPONENT] = [13, 14, 15, 16, 17, 18, 19, 20];
const FIRST_OF_WORDS = 21;
/** Numbers from here on are actions, not states. */
const [BEGIN_KEY, END_TEXT, OPEN_LIST, OPEN_OBJECT, CLOSE_LIST, CLOSE_OBJECT, NEXT] = [32, 33, 34, 35, 36, 37, 38];
const BLANKS = ' \t\n\r';
const DIGITS = '0123456789';
/** By state and byte. */
const TABLE = createTable();

/** Checks one JSON value while its bytes arrive, and builds no object. UTF-8 is not checked. */
export class JsonValue {
  #state = VALUE;
  #isKey = false;
  /** the open lists and objects, outermost first: true for an object */
  readonly #open: boolean[] = [];

  /**
   * @param piece the next bytes
   * @returns the position of the comma or bracket after the value. Without one, and after a fault, it is the length of
   * the piece
   */
  read(piece: Buffer, from: number): number {
    let state = this.#state;
    let at = from;
    for (; at < piece.length; at += 1) {
      const next = TABLE[(state << 8) | (piece[at] ?? 0)] ?? FAULT;
      if (next < BEGIN_KEY) state = next;
      else if (next >= CLOSE_LIST && this.#open.length === 0) break;
      else state = this.#do(next);
    }
    this.#state = state;
    return at;
  }

  #do(what: number): number {
    switch (what) {
      case BEGIN_KEY:
        this.#isKey = true;
        return TEXT;
      case END_TEXT: {
        const isKey = this.#isKey;
        this.#isKey = false;
        return isKey ? COLON : AFTER;
      }
      case OPEN_LIST:
      case OPEN_OBJECT:
        this.#open.push(what === OPEN_OBJECT);
        return what === OPEN_OBJECT ? FIRST_KEY : FIRST;
      case NEXT:
        return this.#open.at(-1) === true ? KEY : VALUE;
      default:
        return this.#open.pop() === (what === CLOSE_OBJECT) ? AFTER : FAULT;
    }
  }
}

function createTable(): Uint8Array {
  const table = new Uint8Array(32 * 256);
  const on = (states: readonly number[], bytes: string, to: number): void => {
    for (const state of states) for (const byte of Buffer.from(bytes)) table[(state << 8) | byte] = to;
  };
  const values = [VALUE, FIRST];
  const numbers = [ZERO, WHOLE, FRACTION, EXPONENT];
  for (const state of [...values, KEY, FIRST_KEY, COLON, AFTER]) on([state], BLANKS, state);
  on(values, '"', TEXT);
  on(values, '[', OPEN_LIST);
  on(values, '{', OPEN_OBJECT);
  on([KEY, FIRST_KEY], '"', BEGIN_KEY);
  on([COLON], ':', VALUE);
  on(numbers, BLANKS, AFTER);
  on([...numbers, AFTER], ',', NEXT);
  on([...numbers, AFTER, FIRST], ']', CLOSE_LIST);
  on([...numbers, AFTER, FIRST_KEY], '}', CLOSE_OBJECT);
  table.fill(TEXT, (TEXT << 8) | 0x20, (TEXT + 1) << 8);
  on([TEXT], '\\', ESCAPE);
  on([TEXT], '"', END_TEXT);
  on([ESCAPE], '"\\/bfnrt', TEXT);
  [ESCAPE, ...HEX].forEach((state, n) => on([state], n === 0 ? 'u' : `${DIGITS}abcdefABCDEF`, HEX[n] ?? TEXT));
  on(values, '-', MINUS);
  on([...values, MINUS], '0', ZERO);
  on([...values, MINUS, WHOLE], DIGITS.slice(1), WHOLE);
  on([WHOLE], '0', WHOLE);
  on([ZERO, WHOLE], '.', POINT);
  on([POINT, FRACTION], DIGITS, FRACTION);
  on([ZERO, WHOLE, FRACTION], 'eE', E);
  on([E], '+-', SIGN);
  on([E, SIGN, EXPONENT], DIGITS, EXPONENT);
  let free = FIRST_OF_WORDS;
  for (const word of ['true', 'false', 'null']) {
    let from: readonly number[] = values;
    for (const [n, letter] of word.split('').entries()) {
      const to = n === word.length - 1 ? AFTER : free++;
      on(from, letter, to);
      from = [to];
    }
  }
  return table;
}
