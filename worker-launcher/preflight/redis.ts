import type { RedisSeen } from './redis-connections.ts';
import type { Check } from './checks.ts';

const WANTED = 'a primary, version 6.2 or later';
const RIGHT_POLICY = 'noeviction';

/** Rows of one Redis: whether a start would accept it, and its eviction policy, which never refuses a start. Pure. */
export function checkRedis({ name, at, found }: RedisSeen): Check[] {
  const what = name === 'queue and replies' ? 'Redis' : `Redis, ${name}`;
  if (typeof found === 'string') return [{ what, wanted: WANTED, found, passes: false }];
  const { version, evictionPolicy, mode } = found;
  return [
    {
      what,
      wanted: WANTED,
      found: `${mode === 'cluster' && !at.startsWith('Redis Cluster') ? 'cluster, ' : ''}${at}, version ${version === '' ? 'unknown' : version}`,
      passes: true,
    },
    {
      what: `${what}, policy`,
      wanted: RIGHT_POLICY,
      found: evictionPolicy,
      passes: evictionPolicy === RIGHT_POLICY,
    },
  ];
}
