import type { ConsoleUsage } from '#contract/console';

export type UsageRow = ConsoleUsage['rows'][number];
export type UsageCount = keyof UsageRow['counts'];

/** Columns of the table, in order. */
export const COLUMNS: readonly { readonly count: UsageCount; readonly title: string }[] = [
  { count: 'requests', title: 'requests' },
  { count: 'prompt_tokens', title: 'prompt tokens' },
  { count: 'picture_tokens', title: 'of these, pictures' },
  { count: 'answer_tokens', title: 'answer tokens' },
  { count: 'slot_ms', title: 'engine time' },
  { count: 'refusals', title: 'refused' },
];

export function sumOf(rows: readonly UsageRow[], count: UsageCount): number {
  return rows.reduce((sum, { counts }) => sum + (counts[count] ?? 0), 0);
}

/** Newest day first, then by key and model. */
export function sorted(rows: readonly UsageRow[]): UsageRow[] {
  return [...rows].sort(
    (a, b) => b.day.localeCompare(a.day) || a.key.localeCompare(b.key) || a.model.localeCompare(b.model),
  );
}

/**
 * Sums by day, oldest first, without gaps.
 * @param days how many, up to and with the day of `now`
 */
export function byDay(
  rows: readonly UsageRow[],
  count: UsageCount,
  days: number,
  now: number,
): { day: string; sum: number }[] {
  return Array.from({ length: days }, (_, index) => {
    const day = new Date(now - (days - 1 - index) * 86_400_000).toISOString().slice(0, 10);
    return {
      day,
      sum: sumOf(
        rows.filter((row) => row.day === day),
        count,
      ),
    };
  });
}
