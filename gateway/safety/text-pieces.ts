/** How far before a cut a sentence's end is looked for, in UTF-16 units. */
const LOOK_BACK = 1_000;
/** What two pieces have in common, in UTF-16 units, so that a term on the cut is in one of them. */
const OVERLAP = 200;

/**
 * Cuts a long text into pieces, after a sentence if one ends near.
 * @param longest of one piece, in UTF-16 units, which are at least as many as code points
 */
function textPieces(text: string, longest: number): readonly string[] {
  const pieces: string[] = [];
  let from = 0;
  while (text.length - from > longest) {
    const end = cutBefore(text, from + longest);
    pieces.push(text.slice(from, end));
    from = whole(text, end - OVERLAP);
  }
  pieces.push(text.slice(from));
  return pieces;
}

/**
 * The pieces of several texts, as few as possible: each costs a question.
 * @param longest of one piece, in UTF-16 units
 */
export function packedTexts(texts: readonly string[], longest: number): readonly string[] {
  const packed: string[] = [];
  for (const piece of texts.flatMap((text) => textPieces(text, longest))) {
    const last = packed.at(-1);
    if (last !== undefined && last.length + piece.length + 2 <= longest)
      packed[packed.length - 1] = `${last}\n\n${piece}`;
    else packed.push(piece);
  }
  return packed;
}

function cutBefore(text: string, most: number): number {
  const period = text.slice(most - LOOK_BACK, most).search(/[.!?。]\s[^.!?。]*$/u);
  return period === -1 ? whole(text, most) : most - LOOK_BACK + period + 1;
}

/** Not inside a character of two units. */
function whole(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at;
}
