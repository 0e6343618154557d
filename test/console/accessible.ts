import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { z } from 'zod';

const Found = z.array(
  z.object({ id: z.string(), impact: z.string().nullish(), nodes: z.array(z.object({ html: z.string() })) }),
);
const GRAVE = ['serious', 'critical'];

/** What hinders people seriously on the page as it is shown, one line per rule. */
export async function hindrances(page: Page): Promise<string[]> {
  // By the debugger's protocol, because the page's policy refuses a script that a test adds.
  await page.evaluate(`${axe.source}; undefined`);
  const found = Found.parse(await page.evaluate('axe.run().then(({ violations }) => violations)'));
  return found
    .filter(({ impact }) => GRAVE.includes(impact ?? ''))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' ')}`);
}
