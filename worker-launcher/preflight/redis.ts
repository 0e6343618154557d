import type { RedisSeen } from './redis-connections.ts';
import type { Check } from './checks.ts';

const WANTED = 'one that a start would take: a primary without cluster mode, 6.2 or later';
const RIGHT_POLICY = 'noeviction';

/** A Redis as a start sees it, a row for that and a row for its eviction policy, which refuses no start. Pure. */
export function checkRedis({ name, at, found }: RedisSeen): Check[] {
  const what = name === 'queue and replies' ? 'Redis' : `Redis, ${name}`;
  if (typeof found === 'string') return [{ what, wanted: WANTED, found, passes: false }];
  const { version, evictionPolicy } = found;
  return [
    { what, wanted: WANTED, found: `${at}, version ${version === '' ? 'not told' : version}`, passes: true },
    {
      what: `${what}, policy`,
      wanted: RIGHT_POLICY,
      found: evictionPolicy,
      passes: evictionPolicy === RIGHT_POLICY,
    },
  ];
}
