/** How much may be kept of one model, in all gateways together. */
export interface StoreLimits {
  /** answers that are not over */
  readonly open: number;
  /** bytes of all answers, and of those of one key */
  readonly bytes: number;
  readonly keyBytes: number;
}

/** Which limit an answer is above. */
export type NotKept = keyof StoreLimits;
/** By what `penstockAnswerCreate` returns. */
export const NOT_KEPT: ReadonlyMap<number, NotKept> = new Map([
  [-1, 'bytes'],
  [-2, 'keyBytes'],
]);

/** Why an answer is not kept, for its caller. */
export const WHY: Readonly<Record<NotKept, string>> = {
  open: 'too many kept answers are not over yet; try again',
  bytes: 'kept answers fill their part of Redis; try again, or do not keep this one',
  keyBytes: 'the kept answers of this key fill its part of Redis; delete some, or do not keep this one',
};
