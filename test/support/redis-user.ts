import { penstock } from './penstock-command.ts';
import type { TestRedis } from './redis.ts';

/** Makes a user as `penstock redis acl` prints it. @returns the URL of that Redis with its name and password */
export async function redisUser(redis: TestRedis, ...args: readonly string[]): Promise<string> {
  const printed = await penstock(['redis', 'acl', '--generate', ...args]);
  const password = /: (\S+)\n$/.exec(printed.stderr)?.[1];
  const [, , name = '', ...rules] = printed.stdout.trim().split(' ');
  if (password === undefined) throw new Error(printed.stderr);
  await redis.client.acl('SETUSER', name, ...rules);
  return redis.url.replace('redis://', `redis://${encodeURIComponent(name)}:${password}@`);
}
