import { Failure } from '../failure.ts';
import type { AnswerStore } from './answer-store.ts';
import { counted } from './log-entries.ts';
import type { EndWatch, LogReplay } from './log-replay.ts';
import type { LogTail } from './log-tail.ts';
import type { Leases } from './leases.ts';
import type { LogEnd } from './record.ts';

/** If no entry comes in this time, in ms, its owner is asked whether it is there, and again each time that this has doubled. */
const SILENCE_MS = 1_000;

export interface FollowDeps {
  readonly store: Pick<AnswerStore, 'logs'>;
  readonly tail: LogTail;
  readonly answers: { readonly leases: Pick<Leases, 'ask'> };
}

/**
 * Follows an answer until its end.
 * @param signal fires when its reader has left; its reason is thrown
 * @throws Failure `answer_not_found` if it is deleted before that
 */
export async function followLog(
  { store, tail, answers }: FollowDeps,
  { model, id }: { readonly model: string; readonly id: string },
  replay: LogReplay | EndWatch,
  signal: AbortSignal,
): Promise<LogEnd> {
  for (const entry of counted(await store.logs.entries(model, id))) replay.take(entry);
  if (replay.end !== undefined) return replay.end;
  let silentFor = 0;
  const ask = (): void => answers.leases.ask(model, id);
  const listening = setInterval(() => {
    silentFor += 1;
    if (Math.log2(silentFor) % 1 === 0) ask();
  }, SILENCE_MS);
  // The reader may come from a gateway that died, and that was the owner.
  ask();
  return new Promise((resolve, reject) => {
    const over = (): void => {
      clearInterval(listening);
      stop();
      signal.removeEventListener('abort', left);
    };
    const left = (): void => {
      over();
      reject(signal.reason);
    };
    const stop = tail.follow(model, id, replay.last, {
      onEntries: (entries) => {
        silentFor = 0;
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
