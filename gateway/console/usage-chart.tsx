import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { whole } from './format.ts';
import { byDay, COLUMNS, type UsageCount, type UsageRow } from './usage-sums.ts';

/** Of the drawing, in its own units. */
const WIDTH = 900;
const HEIGHT = 120;
const GAP = 2;

/** One bar a day. The table beside it has the same figures for those who do not see it. */
export function UsageChart({ rows, days }: { rows: readonly UsageRow[]; days: number }): VNode {
  const [count, setCount] = useState<UsageCount>('answer_tokens');
  const sums = byDay(rows, count, days, Date.now());
  const most = Math.max(1, ...sums.map(({ sum }) => sum));
  const width = WIDTH / sums.length;
  return (
    <figure>
      <figcaption>
        <label>
          By day:{' '}
          <select
            value={count}
            onChange={({ currentTarget: { value } }) =>
              setCount(COLUMNS.find((column) => column.count === value)?.count ?? count)
            }
          >
            {COLUMNS.filter((column) => column.count !== 'slot_ms').map((column) => (
              <option key={column.count} value={column.count}>
                {column.title}
              </option>
            ))}
          </select>
        </label>{' '}
        <span class="hint">highest: {whole(most)}</span>
      </figcaption>
      <svg class="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {sums.map(({ day, sum }, index) => {
          const height = (sum / most) * (HEIGHT - 4);
          return (
            <rect key={day} x={index * width} y={HEIGHT - height} width={Math.max(1, width - GAP)} height={height}>
              <title>{`${day}: ${whole(sum)}`}</title>
            </rect>
          );
        })}
      </svg>
      <div class="axis">
        <span>{sums[0]?.day}</span>
        <span>{sums.at(-1)?.day}</span>
      </div>
    </figure>
  );
}
