import type { Log } from './log.ts';

/** One part of a process that must be ended, in the order given. */
export interface ShutdownStep {
  readonly name: string;
  /** why it has this position in the order */
  readonly because: string;
  readonly run: () => unknown;
}

/** Whether a parent with an IPC channel started this process; it may exit before this process listens for that. */
const startedByParent = process.connected === true;

/**
 * Ends the process once, with exit code 0 unless another is set: on SIGTERM, on SIGINT, or when the parent that started it with an IPC channel is gone. Runs
 * the steps one after another. A second signal, or `limitMs`, ends it immediately with exit code 1.
 */
export function endWith(steps: readonly ShutdownStep[], limitMs: number, log: Log): (why: string) => void {
  let ending = false;
  const end = (why: string): void => {
    if (ending) {
      log.warn({ why }, 'ending immediately');
      process.exit(1);
    }
    ending = true;
    log.info({ why }, 'ending');
    setTimeout(() => {
      log.error({ limitMs }, 'did not end in time');
      process.exit(1);
    }, limitMs).unref();
    void (async () => {
      for (const step of steps) {
        try {
          await step.run();
        } catch (cause) {
          log.error({ step: step.name, cause }, 'a shutdown step failed');
        }
      }
      log.info({}, 'ended');
      process.exit(process.exitCode ?? 0);
    })();
  };
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
  const orphaned = (): void => {
    if (!ending) end('the parent is gone');
  };
  process.on('disconnect', orphaned);
  if (startedByParent && !process.connected) setImmediate(orphaned);
  return end;
}

/** Waits for `work`, but no longer than `limitMs`. @returns whether it was done in time; its failure counts as done */
export async function within(limitMs: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const done = work.then(
    () => true,
    () => true,
  );
  const inTime = await Promise.race([done, late]);
  clearTimeout(timer);
  return inTime;
}
