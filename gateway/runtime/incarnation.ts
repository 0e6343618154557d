import { randomBytes } from 'node:crypto';

/**
 * A name for this life of a process, never used twice: letters and digits only, as it becomes part of request ids,
 * job ids (BullMQ forbids `:`) and keys.
 */
export function newIncarnation(letter: 'g' | 'd'): string {
  return letter + randomBytes(8).toString('hex');
}
