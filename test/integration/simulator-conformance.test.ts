import { expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

test('the simulator answers as recorded vLLM servers did', async () => {
  const run = join(import.meta.dirname, '../conformance/run.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [run]);
  const [, matched, total] = /matched (\d+) of (\d+)/.exec(stdout) ?? [];
  expect(Number(total)).toBeGreaterThan(300);
  expect(Number(matched)).toBeGreaterThanOrEqual(300);
}, 120_000);
