/**
 * Whether Redis refused a command because its key has another type. A worker may write the keys of its model, so it can put
 * anything there: that must concern no other model.
 */
export function isWrongType(cause: unknown): boolean {
  return cause instanceof Error && cause.message.startsWith('WRONGTYPE');
}

/** Whether the user of this program has no right to do it. */
export function isDenied(cause: unknown): boolean {
  return cause instanceof Error && cause.message.startsWith('NOPERM');
}
