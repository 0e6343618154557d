import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { z } from 'zod';
import type { Served } from './client-stack.ts';
import { Line, type Runtime } from './clients.ts';

/**
 * Runs a file of clients to its end, in its own process, with our standard error.
 * @returns the lines that it printed
 * @throws Error when it fails
 */
export async function runClient(runtime: Runtime, file: string, served: Served): Promise<z.infer<typeof Line>[]> {
  const child = spawn(runtime.program, [join(runtime.folder, file)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: process.env['HOME'] ?? '',
      PYTHONDONTWRITEBYTECODE: '1',
      PENSTOCK_SDKS_SERVED: JSON.stringify(served),
    },
  });
  const ended = once(child, 'close');
  const lines: z.infer<typeof Line>[] = [];
  for await (const line of createInterface({ input: child.stdout })) lines.push(Line.parse(JSON.parse(line)));
  await ended;
  if (child.exitCode !== 0) throw new Error(`${file} ended with ${child.exitCode ?? child.signalCode}`);
  return lines;
}
