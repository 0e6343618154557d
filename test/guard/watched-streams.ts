import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { ROOT } from '../support/start-process.ts';

const Seen = z.object({
  /** longest time between two pieces of one stream */
  gapMs: z.number(),
  running: z.number(),
  /** number of streams that ended early, and that ended correctly */
  failed: z.number(),
  ended: z.number(),
});

/** Streams of an honest caller, one token every 20 ms, that always run. */
export class WatchedStreams implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(url: string, key: string, count: number): Promise<WatchedStreams> {
    const env = { PATH: process.env['PATH'], WATCH_URL: url, WATCH_KEY: key, WATCH_STREAMS: String(count) };
    const child = fork(join(ROOT, 'test/guard/stream-watch.mjs'), [], { env, execArgv: [] });
    const streams = new WatchedStreams(child);
    await eventually('all streams run', async () => (await streams.seen()).running === count, 20_000);
    return streams;
  }

  /** Measurements since the last call. */
  async seen(): Promise<z.infer<typeof Seen>> {
    const told = once(this.#child, 'message');
    this.#child.send('tell');
    return Seen.parse((await told)[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }
}
