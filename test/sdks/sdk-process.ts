import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { z } from 'zod';

const Told = z.looseObject({
  class: z.string(),
  status: z.int().nullish(),
  code: z.string().nullish(),
  message: z.string(),
  /** azure-core's message from the body, because `message` is its own text */
  sentence: z.string().nullish(),
  /** `x-ms-error-code` */
  header: z.string().nullish(),
  details: z.array(z.json()).nullish(),
});
const Answer = z.looseObject({
  id: z.int(),
  model: z.string().optional(),
  text: z.string().optional(),
  whole: z.string().optional(),
  status: z.string().optional(),
  ids: z.array(z.string()).optional(),
  error: Told.optional(),
});
export type SdkAnswer = z.infer<typeof Answer>;

/** One call of an SDK; `serve.mjs` explains each member. */
export interface SdkCall {
  readonly call: string;
  readonly surface: string;
  readonly url: string;
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly extras?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly retries?: number;
}

/** An SDK in its own process, like in an application; calls may be concurrent. */
export interface SdkProcess extends AsyncDisposable {
  call(call: SdkCall): Promise<SdkAnswer>;
}

export function startSdk(file: string, args: readonly string[]): SdkProcess {
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] ?? '', PYTHONDONTWRITEBYTECODE: '1' },
  });
  const waiting = new Map<number, (answer: SdkAnswer) => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const answer = Answer.parse(JSON.parse(line));
    waiting.get(answer.id)?.(answer);
  });
  const ended = once(child, 'close');
  let next = 0;
  return {
    call: (call) => {
      const id = (next += 1);
      child.stdin.write(`${JSON.stringify({ id, ...call })}\n`);
      return Promise.race([
        new Promise<SdkAnswer>((resolve) => waiting.set(id, resolve)),
        ended.then(() => {
          throw new Error(`${file} ${args.join(' ')} ended`);
        }),
      ]);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
