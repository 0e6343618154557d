import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { auditLines } from '../support/audit-lines.ts';
import { eventually } from '../support/eventually.ts';
import { startLauncher } from '../support/launcher.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

test('a changed card replaces the engines one after another; an irrelevant or invalid change does not touch them', async () => {
  const models = mkdtempSync(join(tmpdir(), 'penstock-models-'));
  cpSync(resolve(import.meta.dirname, '../../deploy/models'), models, { recursive: true });
  const file = join(models, 'phi-3-vision-128k-instruct.yaml');
  const card = readFileSync(file, 'utf8');
  const audit = join(models, 'audit.jsonl');
  const env = { WORKER_MODELS_DIR: models, WORKER_ENGINES: '2', WORKER_AUDIT_FILE: audit };
  await using launcher = await startLauncher(redis.url, env);
  const engines = async () => (await launcher.status()).engines;
  const bothReady = async (text: number) => {
    const now = await engines();
    return now.every(({ state, slots }) => state === 'ready' && slots.text === text) && now;
  };
  await launcher.pids();
  const first = await eventually('two engines', () => bothReady(256));
  const change = (from: RegExp, to: string): void => {
    writeFileSync(file, card.replace(from, to));
    launcher.child.kill('SIGHUP');
  };

  change(/^publisher: .*/m, 'publisher: Somebody');
  change(/^name: .*/m, 'name: 7');
  let fewest = 2;
  change(/^ {4}text: 256/m, '    text: 64');
  const second = await eventually('two new engines', async () => {
    fewest = Math.min(fewest, (await engines()).filter(({ state }) => state === 'ready').length);
    return bothReady(64);
  });
  expect(fewest).toBe(1);
  expect(second.map(({ pid }) => pid)).not.toEqual(first.map(({ pid }) => pid));
  expect(second.map(({ restarts, lastFailure }) => [restarts, lastFailure])).toEqual([
    [0, null],
    [0, null],
  ]);
  expect(launcher.stderr()).toBe('');
  const reloads = auditLines(audit).filter(({ act }) => act.startsWith('card.'));
  const what = 'Phi-3-vision-128k-instruct';
  const done = { act: 'card.reloaded', what, who: { kind: 'program', name: 'SIGHUP' }, result: 'done' };
  expect(reloads[0]).toMatchObject({ act: 'card.read', what, result: 'done' });
  // Signals that arrive together are one.
  expect(reloads.at(-1)).toMatchObject({
    ...done,
    sha256: createHash('sha256').update(readFileSync(file)).digest('hex'),
  });
  rmSync(models, { recursive: true });
});
