import { setFlagsFromString } from 'node:v8';

/**
 * To be called first of all. The bytes of pictures lie outside V8's heap and yet count for it: with a heap as small as
 * ours they start a full collection with each few pictures, which costs more CPU than all else that is done with them.
 * With this the heap may grow to four times what was left of it, as V8 itself lets it where there is much garbage.
 */
export function collectLessOften(): void {
  setFlagsFromString('--heap-growing-percent=300');
}
