import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { startStack } from '../support/stack.ts';

const OURS = /^# TYPE ((?:penstock|gen_ai)_\w+) (\w+)$/gm;

/** Name, type and programs of each metric in the operators' table. */
const told = (): { name: string; type: string; program: string }[] => {
  const [, region = ''] = readFileSync('deploy/operations.md', 'utf8').split('<!-- generated: metrics -->');
  const rows = (region.split('<!-- end generated -->')[0] ?? '').split('\n').filter((line) => line.startsWith('| `'));
  return rows.map((row) => {
    const [, name = '', program = '', type = ''] = row.split('|').map((cell) => cell.trim().replaceAll('`', ''));
    return { name, type, program };
  });
};

test("the operators' table has each metric of both programs, and no other", async () => {
  await using stack = await startStack({ gatewayEnv: { GATEWAY_USAGE_METRICS: 'true' } });
  const exported = async (url: string): Promise<string[]> => {
    const page = await (await fetch(`${url}/metrics`)).text();
    return [...page.matchAll(OURS)].map(([, name = '', type = '']) => `${name} ${type}`).toSorted();
  };
  const of = (program: string): string[] =>
    told()
      .filter((metric) => [program, 'both'].includes(metric.program))
      .map(({ name, type }) => `${name} ${type}`)
      .toSorted();
  expect(await exported(stack.gateways[0]?.internalUrl ?? '')).toEqual(of('gateway'));
  expect(await exported(stack.launchers[0]?.internalUrl ?? '')).toEqual(of('launcher'));
}, 60_000);
