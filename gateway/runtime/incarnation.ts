import { randomBytes } from 'node:crypto';

/**
 * A name for one lifetime of a process, never used twice. It has only letters and digits, because it becomes part of
 * request ids, job ids (BullMQ forbids `:`) and keys.
 */
export function newIncarnation(letter: 'g' | 'd'): string {
  return letter + randomBytes(8).toString('hex');
}
