import { Failure } from '../failure.ts';
import type { AnswerStore } from './answer-store.ts';
import { counted } from './log-entries.ts';
import type { EndWatch, LogReplay } from './log-replay.ts';
import type { LogTail } from './log-tail.ts';
import type { LogEnd } from './record.ts';

/**
 * Follows an answer until its end.
 * @param signal fires when its reader has left; its reason is thrown
 * @throws Failure `answer_not_found` if it is deleted before that
 */
export async function followLog(
  { store, tail }: { readonly store: AnswerStore; readonly tail: LogTail },
  { model, id }: { readonly model: string; readonly id: string },
  replay: LogReplay | EndWatch,
  signal: AbortSignal,
): Promise<LogEnd> {
  for (const entry of counted(await store.logs.entries(model, id))) replay.take(entry);
  if (replay.end !== undefined) return replay.end;
  return new Promise((resolve, reject) => {
    const over = (): void => {
      stop();
      signal.removeEventListener('abort', left);
    };
    const left = (): void => {
      over();
      reject(signal.reason);
    };
    const stop = tail.follow(model, id, replay.last, {
      onEntries: (entries) => {
        try {
          for (const entry of entries) replay.take(entry);
        } catch (cause) {
          over();
          return reject(cause);
        }
        if (replay.end === undefined) return;
        over();
        resolve(replay.end);
      },
      onGone: () => {
        over();
        reject(new Failure('answer_not_found', 'the answer was deleted'));
      },
    });
    signal.addEventListener('abort', left, { once: true });
    if (signal.aborted) left();
  });
}
