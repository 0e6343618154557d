import { LIMITS, type Limit } from './limits.ts';

/** What is wrong with a value, and the path inside it: a limit that it exceeds, or another problem. */
export type Fault =
  | { readonly at: readonly (string | number)[]; readonly limit: Limit; readonly seen: number }
  | { readonly at: readonly (string | number)[]; readonly problem: string };

/** `{2}`, `{2,}` or `{2,9}` */
const COUNTED = /\{(\d{1,12})?(?:,(\d{0,12}))?\}/y;
/** The beginning of a rule in the two syntaxes that engines read: `rule ::= …`, and Lark's `rule: …`. */
const RULE = /::=|^[ \t]*[?!]*\w+[ \t]*:/gm;

/** The counted parts of a regular expression or a grammar that cost an engine time. */
interface Pieces {
  /** depth of nested groups */
  nesting: number;
  /** parts that are optional or counted */
  quantifiers: number;
  /** largest number in a quantifier */
  repetitions: number;
  isBalanced: boolean;
}

type Syntax = 'regex' | 'ebnf' | 'lark';

/** Counts in one pass, without building anything. Quoted texts and comments of a grammar do not count. */
function countPieces(text: string, syntax: Syntax): Pieces {
  const pieces: Pieces = { nesting: 0, quantifiers: 0, repetitions: 0, isBalanced: true };
  let depth = 0;
  /** the last part: none yet in this alternative, a quantifier, or anything else */
  let last: 'none' | 'quantifier' | 'piece' = 'none';
  /** inside the slashes of a regular expression in Lark, or in any regular expression */
  let isRegex = syntax === 'regex';
  const open = (): void => {
    depth += 1;
    pieces.nesting = Math.max(pieces.nesting, depth);
    last = 'none';
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '\\') {
      at += 1;
      last = 'piece';
    } else if (!isRegex && char === '"') {
      at = endOf(text, at, '"');
      last = 'piece';
    } else if (!isRegex && (char === '#' || text.startsWith('//', at))) {
      at = endOf(text, at, '\n') - 1;
    } else if (syntax === 'lark' && (char === '/' || (isRegex && char === '\n'))) {
      isRegex = char === '/' && !isRegex;
      last = 'piece';
    } else if (char === '[' && syntax === 'lark' && !isRegex) {
      pieces.quantifiers += 1;
      open();
    } else if (char === '[') {
      at = endOf(text, at, ']');
      pieces.isBalanced &&= at < text.length;
      last = 'piece';
    } else if (char === '(') {
      // `(?:` and similar are no quantifiers.
      if (isRegex && text.charAt(at + 1) === '?') at += 1;
      open();
    } else if (char === ')' || (char === ']' && syntax === 'lark')) {
      if (last === 'none') pieces.quantifiers += 1;
      depth -= 1;
      pieces.isBalanced &&= depth >= 0;
      last = 'piece';
    } else if (char === '|') {
      if (last === 'none') pieces.quantifiers += 1;
      last = 'none';
    } else if (char === '?' || char === '*') {
      // After another quantifier it only makes that one lazy.
      if (last !== 'quantifier') pieces.quantifiers += 1;
      last = 'quantifier';
    } else if (char === '{') {
      COUNTED.lastIndex = at;
      const counted = COUNTED.exec(text);
      last = 'piece';
      if (counted === null) continue;
      pieces.quantifiers += 1;
      pieces.repetitions = Math.max(pieces.repetitions, Number(counted[1] ?? 0), Number(counted[2] ?? 0));
      at += counted[0].length - 1;
      last = 'quantifier';
    } else if (isRegex || !/\s/.test(char)) last = char === '+' ? 'quantifier' : 'piece';
  }
  pieces.isBalanced &&= depth === 0;
  return pieces;
}

/** @returns where the text, set or comment that begins at `from` ends; the length of `text` if it has no end */
function endOf(text: string, from: number, end: string): number {
  for (let at = from + 1; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === end || (char === '\n' && end === '"')) return at;
    if (char === '\\' && end !== '\n') at += 1;
  }
  return text.length;
}

/** Tells the two syntaxes of grammars apart as vLLM does. */
function syntaxOf(grammar: string): Syntax {
  const isRule = (line: string): boolean => {
    const [rule = ''] = line.split(/#|\/\//, 1);
    return rule.includes('::=');
  };
  return grammar.split('\n').some(isRule) ? 'ebnf' : 'lark';
}

/** Adds up the quantifiers of all regular expressions of one schema. */
export class Quantifiers {
  #seen = 0;
  /** @returns the fault of one more regular expression; the engine decides whether it can read it */
  faultOf(regex: string, at: readonly (string | number)[]): Fault | undefined {
    if (regex.length > LIMITS.regex.most) return { at, limit: LIMITS.regex, seen: regex.length };
    const pieces = countPieces(regex, 'regex');
    this.#seen += pieces.quantifiers;
    if (!pieces.isBalanced || regex.includes('\0'))
      return { at, problem: 'is not a regular expression: a bracket has no counterpart' };
    return costOf({ ...pieces, quantifiers: this.#seen }, at);
  }
}

/** @returns the fault of a grammar in the syntax of EBNF or Lark; the engine decides whether it can read it */
export function grammarFault(grammar: string, at: readonly (string | number)[] = []): Fault | undefined {
  if (grammar.length > LIMITS.grammar.most) return { at, limit: LIMITS.grammar, seen: grammar.length };
  if (grammar.trim() === '') return { at, problem: 'is an empty grammar' };
  const rules = grammar.match(RULE)?.length ?? 0;
  if (rules > LIMITS.grammarRules.most) return { at, limit: LIMITS.grammarRules, seen: rules };
  return costOf(countPieces(grammar, syntaxOf(grammar)), at);
}

function costOf(pieces: Pieces, at: readonly (string | number)[]): Fault | undefined {
  for (const name of ['nesting', 'quantifiers', 'repetitions'] as const)
    if (pieces[name] > LIMITS[name].most) return { at, limit: LIMITS[name], seen: pieces[name] };
  return undefined;
}
