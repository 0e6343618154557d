import type { ApiFacts } from '../description.ts';

/** The model name in examples. */
export function exampleModel({ cards }: ApiFacts): string {
  return cards[0]?.name ?? 'model';
}

/** A picture of a blue square, in base64. */
export const BLUE_SQUARE =
  'iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAW0lEQVR42mP4T2PAMGrBkLHghIAeGqKOBZjmkmoTA4WmE7SDgXLT8dvBQBXT8djBQC3Tcdkx/CygxHSsdoxaMAItGM1og6Kwo0dxTY8Khx5VJj0q/dGG13CwAAA+UwII6biQTwAAAABJRU5ErkJggg==';

/** A conversation for examples. */
export const HELLO = [{ role: 'user', content: 'Say hello.' }];
/** The same conversation with that picture. */
const LOOK = [
  {
    role: 'user',
    content: [
      {
        type: 'image_url',
        image_url: {
          url: `data:image/png;base64,${BLUE_SQUARE}`,
        },
      },
      { type: 'text', text: 'What is shown in this image?' },
    ],
  },
];

/** Examples of bodies with messages, one with a picture if a model takes pictures. */
export function conversations({ cards }: ApiFacts, of: (messages: object[]) => object): Record<string, object> {
  const sees = cards.some(({ modalities }) => modalities.input.includes('image'));
  return { text: of(HELLO), ...(sees ? { picture: of(LOOK) } : {}) };
}
