import { z } from 'zod';
import { setFaults } from '../support/engine-request.mjs';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { milliseconds, must, type Check } from './check.ts';
import { CHAT } from './stand.ts';

const ENGINES = 4;
const Pids = z.object({ engines: z.array(z.object({ pid: z.number().nullable(), state: z.string() })) });

/** Engines that crash at the first token of every request. */
async function poison(): Promise<string> {
  const stack = await startStack({ engines: ENGINES });
  try {
    for (const { engines } of (await stack.status()).workers)
      for (const engine of engines) await setFaults(engine, { 'crash-after': 1 });
    const before = await pidsOf(stack);
    const asked = async () => {
      const startedAt = performance.now();
      const answer = await postJson(stack.url + CHAT, {
        messages: [{ role: 'user', content: 'belladonna' }],
        stream: true,
      });
      return { ...answer, tookMs: performance.now() - startedAt };
    };
    const first = await asked();
    const second = await asked();
    const alive = (await pidsOf(stack)).filter((pid) => before.includes(pid)).length;
    const figure = `${ENGINES - alive} of ${ENGINES} engines died; sent again it was answered ${second.status} in ${milliseconds(second.tookMs)}`;
    must(first.text.includes('request_quarantined'), `${figure}; the first answer was ${first.text.slice(0, 300)}`);
    must(
      second.status === 502 && second.text.includes('request_quarantined'),
      `${figure}: ${second.text.slice(0, 300)}`,
    );
    must(ENGINES - alive <= 2, figure);
    return figure;
  } finally {
    await stack[Symbol.asyncDispose]();
  }
}

async function pidsOf(stack: Stack): Promise<(number | null)[]> {
  const { internalUrl } = stack.launchers[0] ?? stack.gateways[0] ?? { internalUrl: '' };
  return Pids.parse(await (await fetch(`${internalUrl}/status`)).json()).engines.map(({ pid }) => pid);
}

export const DEADLY_REQUESTS: readonly Check[] = [
  { row: 'N9', name: 'a request that its engines die of', sent: `twice, with ${ENGINES} engines`, run: poison },
];
