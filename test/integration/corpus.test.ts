import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from '@jest/globals';
import { pythonWithPillow } from '../corpus/python.mjs';

/** Undefined if python3 with venv is missing or PyPI cannot be reached. */
function pillow(): string | undefined {
  try {
    return pythonWithPillow();
  } catch (error) {
    process.stderr.write(`the pictures are not compared with Pillow: ${String(error)}\n`);
    return undefined;
  }
}

const testWithPillow = pillow() === undefined ? test.skip : test;

testWithPillow(
  'N7, D1: of more than a thousand pictures each is measured as Pillow decodes it, or its difference has a reason',
  async () => {
    const child = spawn(process.execPath, ['test/corpus/run.mjs', '--short'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    const unlisted = output.split('\n').filter((line) => line.startsWith('✗'));
    expect(unlisted).toEqual([]);
    expect(output.trim().split('\n').at(-1)).toMatch(/^1\d{3} passed, 0 failed$/);
  },
  300_000,
);
