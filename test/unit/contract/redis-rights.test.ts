import { expect, test } from '@jest/globals';
import { aclRules, redisRights } from '#contract/redis-rights';
import { PROBES } from '../../../gateway/runtime/redis-check.ts';

const MODEL = 'Phi-4';
const rightsOf = (models: string[] = [MODEL]) =>
  (['gateway', 'worker'] as const).flatMap((role) =>
    (['first', 'second', 'single'] as const).flatMap((part) =>
      [false, true].map((isCluster) => redisRights(role, part, models, isCluster)),
    ),
  );
/** A connection has used these before it is checked, or the check uses them itself. */
const WITHOUT_PROBE = ['auth', 'hello', 'ping', 'info', 'select', 'client|setname', 'multi', 'exec'];
const OF_CLUSTERS = ['cluster|slots', 'cluster|info'];
const OF_CHANNELS = ['publish', 'subscribe', 'unsubscribe'];

test('a start tries each command that a user of penstock redis acl gets, and no other one', () => {
  const given = new Set(rightsOf().flatMap(({ commands }) => commands));
  expect([...given].toSorted()).toEqual(
    [...Object.keys(PROBES), ...WITHOUT_PROBE, ...OF_CLUSTERS, ...OF_CHANNELS].toSorted(),
  );
});

test('a worker has no name that is not of its models, and no command that tells of others', () => {
  for (const part of ['first', 'second', 'single'] as const) {
    const { keys, channels, commands } = redisRights('worker', part, [MODEL]);
    for (const name of [...keys.map(({ pattern }) => pattern), ...channels])
      expect(name).toMatch(/^\{penstock:Phi-4\}:|^penstock:replies:\{\*\}:Phi-4$|^penstock:control:\*@Phi-4$/);
    for (const command of ['keys', 'scan', 'monitor', 'config', 'acl', 'flushall', 'flushdb', 'script', 'publish'])
      expect(commands).not.toContain(command);
  }
});

test('Redis 6 has one kind of access; from 7 on a worker reads bodies and writes to the owners of answers', () => {
  const rights = redisRights('worker', 'first', [MODEL]);
  expect(aclRules(rights, false)).toEqual(
    expect.arrayContaining(['%R~{penstock:Phi-4}:body:*', '%W~{penstock:Phi-4}:owner:*', '-@all', '+xadd']),
  );
  expect(aclRules(rights, true).filter((rule) => rule.startsWith('%'))).toEqual([]);
});
