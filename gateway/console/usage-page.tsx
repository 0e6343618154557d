import type { VNode } from 'preact';
import type { ConsoleSession } from '#contract/console';
import { useEffect, useState } from 'preact/hooks';
import { isUsage } from './data.ts';
import { duration, whole } from './format.ts';
import type { Gateway } from './gateway.ts';
import { RefusalBox } from './refusal-box.tsx';
import type { Refusal } from './refusal.ts';
import { Table } from './table.tsx';
import { UsageChart } from './usage-chart.tsx';
import { COLUMNS, sorted, sumOf, type UsageCount, type UsageRow } from './usage-sums.ts';

const USUAL_DAYS = 30;
const MOST_DAYS = 90;
const DAYS = [7, USUAL_DAYS];

/** What keys used: of the caller, or of all keys for an operator. */
export function UsagePage({ gateway, of }: { gateway: Gateway; of: ConsoleSession }): VNode {
  const { operate, usageDays } = of;
  const choices = [...DAYS.filter((count) => count < usageDays), Math.min(usageDays, MOST_DAYS)];
  const [days, setDays] = useState(Math.min(USUAL_DAYS, usageDays));
  const [key, setKey] = useState('');
  const [asked, setAsked] = useState(0);
  const { rows, refusal } = useRows(gateway, days, asked);
  const keys = [...new Set(rows?.map((row) => row.key))].sort();
  const shown = sorted(rows ?? []).filter((row) => key === '' || row.key === key);
  return (
    <>
      <div class="heading">
        <h1>Usage</h1>
        <div class="choices">
          <label>
            Days{' '}
            <select value={days} onChange={({ currentTarget }) => setDays(Number(currentTarget.value))}>
              {choices.map((count) => (
                <option key={count} value={count}>
                  {count}
                </option>
              ))}
            </select>
          </label>
          {keys.length < 2 ? null : (
            <label>
              Key{' '}
              <select value={key} onChange={({ currentTarget }) => setKey(currentTarget.value)}>
                <option value="">all</option>
                {keys.map((one) => (
                  <option key={one} value={one}>
                    {one}
                  </option>
                ))}
              </select>
            </label>
          )}
          <button type="button" class="quiet" onClick={() => setAsked(asked + 1)}>
            Refresh
          </button>
        </div>
      </div>
      <p class="hint">{operate ? 'Of all keys.' : 'Of your key.'} Days are those of UTC.</p>
      {refusal === undefined ? null : <RefusalBox refusal={refusal} title="No usage" />}
      {rows === undefined && refusal === undefined ? <p class="empty">Reading the usage …</p> : null}
      {rows?.length === 0 ? (
        <p class="empty">Nothing was used in these days. Ask a question in the playground.</p>
      ) : null}
      {shown.length === 0 ? null : (
        <section class="card">
          <UsageChart rows={shown} days={days} />
          <UsageTable rows={shown} />
        </section>
      )}
    </>
  );
}

function UsageTable({ rows }: { rows: readonly UsageRow[] }): VNode {
  const columns = COLUMNS.map(({ title }) => ({ number: title }));
  return (
    <Table
      caption="Usage by day, key and model"
      columns={['day', 'key', 'model', ...columns]}
      foot={
        <tr>
          <th scope="row" colSpan={3}>
            sum
          </th>
          {COLUMNS.map(({ count }) => (
            <td key={count} class="number" data-sum={count}>
              {shownCount(count, sumOf(rows, count))}
            </td>
          ))}
        </tr>
      }
    >
      {rows.map((row) => (
        <tr key={`${row.day} ${row.key} ${row.model}`}>
          <th scope="row">{row.day}</th>
          <td>{row.key}</td>
          <td>{row.model}</td>
          {COLUMNS.map(({ count }) => (
            <td key={count} class="number">
              {shownCount(count, row.counts[count] ?? 0)}
            </td>
          ))}
        </tr>
      ))}
    </Table>
  );
}

function shownCount(count: UsageCount, value: number): string {
  return count === 'slot_ms' ? duration(value) : whole(value);
}

function useRows(gateway: Gateway, days: number, asked: number): { rows?: readonly UsageRow[]; refusal?: Refusal } {
  const [state, setState] = useState<{ rows?: readonly UsageRow[]; refusal?: Refusal }>({});
  useEffect(() => {
    let isWanted = true;
    void gateway.get(`/console/usage?days=${days}`, isUsage).then((found) => {
      if (isWanted) setState(found.ok ? { rows: found.value.rows } : { refusal: found.refusal });
    });
    return () => {
      isWanted = false;
    };
  }, [gateway, days, asked]);
  return state;
}
