import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, expect, test } from '@jest/globals';
import { ACTS, createAudit, thisUser, type Act } from '#runtime/audit';
import { auditLines } from '../../support/audit-lines.ts';
import { eventually } from '../../support/eventually.ts';
import { silentLog } from '../../support/silent-log.ts';
import { temporaryFolder } from '../../support/start-process.ts';

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const setting = 'GATEWAY_AUDIT_FILE';
const act: Act = { act: 'key.created', what: 'oslo', who: { kind: 'user', name: 'kari' }, result: 'done' };

test('the file is private, and each program appends to what is there', async () => {
  const place = join(folder.path, 'shared');
  for (const program of ['one', 'two']) {
    createAudit(program, { place, setting, log: silentLog }).record(act);
    await turn();
  }
  expect(statSync(place).mode & 0o777).toBe(0o600);
  expect(auditLines(place)).toMatchObject([
    { program: 'one', ...act },
    { program: 'two', ...act },
  ]);
});

test('no line is longer than a pipe keeps in one piece, and none breaks in two', async () => {
  const place = join(folder.path, 'long');
  const audit = createAudit('test', { place, setting, log: silentLog });
  const fields = Array.from({ length: 1_000 }, (_, n) => `GATEWAY_${'X'.repeat(200)}_${n}`);
  for (const text of ['x'.repeat(100_000), '𝕏'.repeat(100_000), `a\nb\u2028c\u202e${'\u0000'.repeat(5_000)}`])
    audit.record({ ...act, what: text, who: { kind: 'operator', name: text, from: text }, why: text, fields });
  await turn();
  expect(auditLines(place)).toHaveLength(3);
});

test('a file that was moved away is made again', async () => {
  const place = join(folder.path, 'rotated');
  const audit = createAudit('test', { place, setting, log: silentLog });
  audit.record(act);
  await turn();
  renameSync(place, `${place}.1`);
  await eventually('a new file', async () => {
    audit.record(act);
    await turn();
    return auditLines(place).length > 0;
  });
  expect(auditLines(`${place}.1`).length).toBeGreaterThan(0);
});

test('lines that cannot be written are counted and told, and stop nothing', async () => {
  const told: object[] = [];
  const log = { error: (fields: object, event: string) => void told.push({ ...fields, event }) };
  const audit = createAudit('test', { place: '/dev/full', setting, log });
  for (let n = 0; n < 3; n += 1) {
    audit.record(act);
    await turn();
  }
  expect(audit.lost).toBe(3);
  expect(told).toMatchObject([{ file: '/dev/full', lost: 1, event: 'lines of the audit file are lost' }]);
});

test('a place that cannot be written is refused in a sentence', () => {
  const place = join(folder.path, 'file');
  writeFileSync(place, '');
  const under = join(place, 'audit');
  expect(() => createAudit('test', { place: under, setting, log: silentLog })).toThrow(
    `bad configuration\n  GATEWAY_AUDIT_FILE: ${under} cannot be written (ENOTDIR)`,
  );
});

test('requests have lines only if that is wanted', async () => {
  const [without, withThem] = [join(folder.path, 'without'), join(folder.path, 'with')];
  createAudit('test', { place: without, setting, log: silentLog }).request({ status: 200 });
  createAudit('test', { place: withThem, setting, requests: true, log: silentLog }).request({ status: 200 });
  await turn();
  expect(auditLines(without)).toEqual([]);
  expect(auditLines(withThem)).toMatchObject([{ act: 'request', status: 200 }]);
});

test('the operators’ table has each act, and no other', () => {
  const [, section = ''] = readFileSync('deploy/README.md', 'utf8').split('\n## Audit\n');
  const rows = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| `'));
  const named = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  expect(named.filter((name) => name?.includes('.') && !name.startsWith('who.'))).toEqual([...ACTS]);
  expect(thisUser().name).not.toBe('');
});
