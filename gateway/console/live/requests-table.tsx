import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { LiveRequest } from '#contract/console';
import { duration, timeOfDay, whole } from '../format.ts';
import { Table } from '../table.tsx';
import { identity } from './live-feed.ts';
import { endOf, ENDS, type End } from './phases.ts';
import { RequestDetails } from './request-details.tsx';

const TONES = { answered: 'good', refused: 'busy', failed: 'bad', left: 'idle' } as const;

/** The requests that ended last, on the gateway that sends the data. */
export function RequestsTable({ requests, replica }: { requests: readonly LiveRequest[]; replica: string }): VNode {
  const [end, setEnd] = useState<End>('all');
  const [opened, setOpened] = useState<LiveRequest>();
  const shown = requests.filter((request) => end === 'all' || endOf(request) === end);
  return (
    <section class="card">
      <div class="heading">
        <h2>Last requests</h2>
        <label>
          Show{' '}
          <select value={end} onChange={({ currentTarget }) => setEnd(endNamed(currentTarget.value))}>
            {ENDS.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        </label>
      </div>
      {shown.length === 0 ? (
        <p class="empty">
          {requests.length === 0
            ? `No request has ended on ${replica} so far. Send one in the playground.`
            : 'No request ended like this.'}
        </p>
      ) : (
        <Table
          caption="Last requests"
          columns={[
            'ended',
            'end',
            'outcome',
            'key',
            'model',
            'path',
            { number: 'tokens' },
            { number: 'queue' },
            { number: 'first byte' },
            { number: 'total' },
            'phases',
          ]}
        >
          {shown.map((request) => (
            <RequestRow key={identity(request)} request={request} open={() => setOpened(request)} />
          ))}
        </Table>
      )}
      {opened === undefined ? null : <RequestDetails request={opened} close={() => setOpened(undefined)} />}
    </section>
  );
}

function RequestRow({ request, open }: { request: LiveRequest; open: () => void }): VNode {
  const { endedAt, status, outcome, keyId, model, path, completionTokens, enqueuedMs, claimedMs } = request;
  const queueMs = enqueuedMs === undefined || claimedMs === undefined ? undefined : Math.max(0, claimedMs - enqueuedMs);
  return (
    <tr>
      <td>{timeOfDay(endedAt)}</td>
      <td>
        <span class={`tag ${TONES[endOf(request)]}`}>{status}</span>
      </td>
      <td>{outcome}</td>
      <td>{keyId}</td>
      <td>{model}</td>
      <td>{path}</td>
      <td class="number">{whole(completionTokens)}</td>
      <td class="number">{duration(queueMs)}</td>
      <td class="number">{duration(request.firstByteMs)}</td>
      <td class="number">{duration(request.totalMs)}</td>
      <td>
        <button type="button" class="quiet" onClick={open}>
          Open<span class="unseen"> request {request.requestId}</span>
        </button>
      </td>
    </tr>
  );
}

function endNamed(value: string): End {
  return ENDS.find((end) => end === value) ?? 'all';
}
