import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, test } from '@jest/globals';
import { freePorts } from '#runtime/free-port';

const PROCESSES = 4;
const EACH = 150;
/** Chooses its ports, prints them, and lives until its input ends. */
const CHOOSER = `
  import { freePort } from '#runtime/free-port';
  const ports = [];
  for (let n = 0; n < ${EACH}; n += 1) ports.push(await freePort());
  console.log(ports.join(' '));
  process.stdin.resume();
`;

test('processes that choose ports at the same time never get the same one', async () => {
  const choosers = Array.from({ length: PROCESSES }, () =>
    spawn(process.execPath, ['--input-type=module', '--eval', CHOOSER], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  const exits = choosers.map((chooser) => once(chooser, 'exit'));
  const lines = choosers.map(async ({ stdout }) => {
    for await (const line of createInterface({ input: stdout })) return line;
    throw new Error('a process chose no ports');
  });
  try {
    const ports = (await Promise.all(lines)).flatMap((line) => line.split(' '));
    expect(ports).toHaveLength(PROCESSES * EACH);
    expect(new Set(ports).size).toBe(ports.length);
  } finally {
    for (const { stdin } of choosers) stdin.end();
    await Promise.all(exits);
  }
}, 60_000);

test('a row of ports is consecutive, and rows do not overlap', async () => {
  const firsts = [];
  for (let n = 0; n < 20; n += 1) firsts.push(await freePorts(5));
  const ports = firsts.flatMap((first) => Array.from({ length: 5 }, (_, n) => first + n));
  expect(new Set(ports).size).toBe(100);
});
