import { z } from 'zod';
import { redisKeys } from '#contract/redis-keys';
import { dayOf, USAGE_COUNTS, type UsageCount } from '#contract/usage';
import type { RedisClient } from '#runtime/redis-client';

const DAY_MS = 86_400_000;
const Counts = z.record(z.enum(USAGE_COUNTS), z.coerce.number());
/** The model of a request that was refused before its model was known. */
const UNKNOWN = 'unknown';

/** Which usage is asked for. */
export interface UsageFilter {
  readonly key?: string | undefined;
  readonly model?: string | undefined;
  /** first day, such as `2026-11-30`; absent: all days that are kept */
  readonly since?: string | undefined;
}

/** What one key used of one model on one day (UTC). */
export type UsageRow = { readonly day: string; readonly key: string; readonly model: string } & Readonly<
  Record<UsageCount, number>
>;

/**
 * Reads the usage of all gateways and workers.
 * @param served models of the catalog; those that were served before are in Redis
 * @param days how long usage is kept
 * @returns rows in the order of day, key and model
 * @throws while Redis is away
 */
export async function usageRows(
  redis: RedisClient,
  served: readonly string[],
  days: number,
  { key, model, since = '' }: UsageFilter,
): Promise<UsageRow[]> {
  const known = new Set([...served, UNKNOWN, ...(await redis.smembers(redisKeys.usageModels()))]);
  const models = [...known].filter((name) => model === undefined || name === model);
  const rows: UsageRow[] = [];
  const today = Date.now();
  for (let ago = days; ago >= 0; ago -= 1) {
    const day = dayOf(today - ago * DAY_MS);
    if (day >= since) rows.push(...(await rowsOf(redis, day, models, key)));
  }
  return rows;
}

async function rowsOf(
  redis: RedisClient,
  day: string,
  models: readonly string[],
  only: string | undefined,
): Promise<UsageRow[]> {
  const rows = models.map(async (model) => {
    const keys = only === undefined ? await redis.smembers(redisKeys.usageKeys(model, day)) : [only];
    const rowsOfKeys = keys.map(async (key) => {
      const fields = await redis.hgetall(redisKeys.usage(model, day, key));
      return Object.keys(fields).length === 0 ? [] : [rowOf(day, key, model, fields)];
    });
    return (await Promise.all(rowsOfKeys)).flat();
  });
  return (await Promise.all(rows)).flat().toSorted((a, b) => compare(a.key, b.key) || compare(a.model, b.model));
}

function rowOf(day: string, key: string, model: string, fields: Readonly<Record<string, string>>): UsageRow {
  const counts = Counts.parse(Object.fromEntries(USAGE_COUNTS.map((name) => [name, fields[name] ?? 0])));
  return { day, key, model, ...counts };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
