import { counted } from '../format.ts';

/** What the gateway reads. Source: gateway/README.md, "Pictures". */
export const PICTURE_TYPES: readonly string[] = ['image/png', 'image/jpeg', 'image/webp', 'image/gif'];
/** Bytes that the page reads of a file. The gateway has a lower limit, and names it when it refuses. */
const MOST_BYTES = 50_000_000;

export interface Picture {
  readonly name: string;
  readonly bytes: number;
  readonly dataUri: string;
}

interface Offered {
  readonly type: string;
  readonly size: number;
}
interface Room {
  /** the model, for sentences */
  readonly name: string;
  /** pictures that its card allows in a conversation */
  readonly most: number;
  /** pictures in the turns so far, and in the question that is being written */
  readonly sent: number;
  readonly held: number;
}

/** What happens to files that were dropped, pasted or chosen. */
export type Choice =
  { readonly take: 'none'; readonly note: string } | { readonly take: 'add' | 'replace'; readonly note: string };

/** The rule of the card, in a sentence. */
export function pictureRule({ name, most }: Pick<Room, 'name' | 'most'>): string {
  return most === 0 ? `${name} takes no pictures.` : `${name} takes ${counted(most, 'picture')} in a conversation.`;
}

export function choosePictures(files: readonly Offered[], room: Room): Choice {
  const rule = pictureRule(room);
  const refuse = (why: string): Choice => ({ take: 'none', note: why });
  if (files.some(({ type }) => !PICTURE_TYPES.includes(type)))
    return refuse('That is not a picture that the gateway reads: choose a PNG, JPEG, WebP or GIF file.');
  if (files.some(({ size }) => size > MOST_BYTES))
    return refuse(`The file is too large: the page reads at most ${MOST_BYTES / 1_000_000} MB.`);
  if (room.most === 0) return refuse(rule);
  const free = room.most - room.sent;
  if (free <= 0) return refuse(`${rule} This one has it already: clear the conversation to use another picture.`);
  if (files.length > free) return refuse(`${rule} You gave ${files.length}. Choose ${free === 1 ? 'one' : free}.`);
  if (files.length + room.held > free) return { take: 'replace', note: `${rule} The earlier one was replaced.` };
  return { take: 'add', note: '' };
}
