import { mix } from './hash.ts';
import { tokenId, tokenText } from './tokens.ts';

interface Candidate {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

/** Logprobs of one token in the chat form; the alternatives are made up, each less likely than the one before. */
export function chatLogprobs(piece: string, alternatives: number) {
  const best = candidate(piece, -0.25);
  const id = tokenId(piece);
  const top = Array.from({ length: alternatives }, (_, rank) =>
    rank === 0 ? best : candidate(tokenText(300 + (mix(id, rank) % 31_600)), -0.25 - rank),
  );
  return { content: [{ ...best, top_logprobs: top }] };
}

function candidate(token: string, logprob: number): Candidate {
  return { token, logprob, bytes: [...Buffer.from(token, 'utf8')] };
}
