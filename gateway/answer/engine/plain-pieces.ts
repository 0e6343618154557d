import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { parseText } from './sse.ts';

const DATA = 'data: ';
/** A piece of an unfinished answer, without anything that needs a check. */
const GoesOn = z.object({
  choices: z.array(z.object({ index: z.int().nonnegative(), finish_reason: z.null().optional() })).min(1),
  error: z.null().optional(),
  object: z
    .string()
    .refine((object) => object !== 'error')
    .optional(),
});

/**
 * Opens the text of a piece. In valid JSON these characters can only end a name and begin its value. `GoesOn` reads no
 * name that ends so, and therefore no such value can change its verdict.
 */
const TEXT_BEGINS = /(?:content|"text)":"/;
const QUOTE = 34;
const BACKSLASH = 92;
const FIRST_PRINTABLE = 32;
/** What may follow a backslash, except the four digits after `u`. */
const ESCAPED = '"\\/bfnrt';
const DIGITS = /^[\da-fA-F]{4}$/;

/**
 * Knows the events of one stream that hold nothing but a piece of an unfinished answer. Such events differ only in their
 * text. So it remembers what is around the text of the last one that it parsed, and compares the next one with that.
 */
export class PlainPieces {
  #before = '';
  #after = '';

  /** Whether all events are in vLLM's form, each with a piece of an unfinished answer. @param chunk complete events */
  matches(chunk: Buffer): boolean {
    // Decoded as latin1, which is several times faster; UTF-8 is checked at the end.
    const text = chunk.toString('latin1');
    let at = 0;
    while (at < text.length) {
      const end = this.#sameAround(text, at) ?? this.#parsed(text, at);
      if (end === undefined) return false;
      at = end;
    }
    return at > 0 && isUtf8(chunk);
  }

  /** @returns the end of an event that differs from the last parsed one only in its text */
  #sameAround(text: string, at: number): number | undefined {
    const from = at + this.#before.length;
    // Equal slices are found with one comparison of memory; `startsWith` goes letter by letter.
    if (from === at || text.slice(at, from) !== this.#before) return undefined;
    const rest = endOfString(text, from) ?? text.length;
    const end = rest + this.#after.length;
    return text.slice(rest, end) === this.#after ? end : undefined;
  }

  /** @returns the end of an event, if it needs no check */
  #parsed(text: string, at: number): number | undefined {
    const lineFeed = text.indexOf('\n', at);
    if (!text.startsWith(DATA, at) || !text.startsWith('}\n\n', lineFeed - 1)) return undefined;
    const event = text.slice(at, lineFeed + 2);
    if (event.includes('\r') || !GoesOn.safeParse(parseText(event.slice(DATA.length))).success) return undefined;
    this.#remember(event);
    return at + event.length;
  }

  #remember(event: string): void {
    const begin = TEXT_BEGINS.exec(event);
    if (begin === null) return;
    const from = begin.index + begin[0].length;
    this.#before = event.slice(0, from);
    this.#after = event.slice(endOfString(event, from));
  }
}

/** @param from inside a JSON string @returns the position after its closing quote; undefined if it is not valid JSON */
function endOfString(text: string, from: number): number | undefined {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH) {
      const isLong = text[at + 1] === 'u';
      if (isLong ? !DIGITS.test(text.slice(at + 2, at + 6)) : !isEscaped(text[at + 1])) return undefined;
      at += isLong ? 6 : 2;
    } else if (code >= FIRST_PRINTABLE) at += 1;
    else return undefined;
  }
}

function isEscaped(letter: string | undefined): boolean {
  return letter !== undefined && ESCAPED.includes(letter);
}
