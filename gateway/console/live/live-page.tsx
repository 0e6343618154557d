import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { LiveView } from '#contract/console';
import { duration, tenths, whole } from '../format.ts';
import { RefusalBox } from '../refusal-box.tsx';
import { Table } from '../table.tsx';
import { useWatched } from '../use-watched.ts';
import { EnginesTable } from './engines-table.tsx';
import { REFUSAL_WORDS } from './engine-words.ts';
import type { LiveFeed, LiveState } from './live-feed.ts';
import { RequestsTable } from './requests-table.tsx';

export function LivePage({ live, operate }: { live: LiveFeed; operate: boolean }): VNode {
  const state = useWatched(live.state);
  useEffect(() => {
    if (operate) live.start();
    return () => live.stop();
  }, [live, operate]);
  if (!operate) return <NeedsScope />;
  const { view, requests, refusal } = state;
  return (
    <>
      <div class="heading">
        <h1>Live</h1>
        <Age state={state} />
      </div>
      {refusal === undefined ? null : <RefusalBox refusal={refusal} title="No news" />}
      {view === undefined ? (
        refusal === undefined ? (
          <p class="empty">Waiting for the gateway’s first news …</p>
        ) : null
      ) : (
        <>
          <Summary view={view} />
          <EnginesTable engines={view.engines} />
          <Queues view={view} />
          <div class="pair">
            <Refusals view={view} />
            <RedisServers view={view} />
          </div>
          <RequestsTable requests={requests} replica={view.replica} />
        </>
      )}
    </>
  );
}

function NeedsScope(): VNode {
  return (
    <div class="card narrow">
      <h1>Live</h1>
      <p>
        This page shows what concerns all callers. It needs a key with the scope <code>operate</code>. Ask an operator
        of this gateway for one, then press “Forget key” and enter it.
      </p>
    </div>
  );
}

/** Whether the data are those of now, and how old they are; drawn again each second. */
function Age({ state: { seenAt, isOpen } }: { state: LiveState }): VNode | null {
  const [, draw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => draw((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
  if (seenAt === undefined) return null;
  const ageMs = performance.now() - seenAt;
  return isOpen ? (
    <p class="tag good">live</p>
  ) : (
    <p class="tag bad" role="status">
      connecting again; the data are {duration(Math.floor(ageMs / 1_000) * 1_000)} old
    </p>
  );
}

function Summary({ view: { replica, stage, openRequests, engines, queues } }: { view: LiveView }): VNode {
  const ready = engines.filter(({ state }) => state === 'ready').length;
  const waiting = queues.map((queue) => queue.waiting);
  const sum = waiting.reduce<number | null>((all, one) => (all === null || one === null ? null : all + one), 0);
  const tiles: [string, string][] = [
    ['engines ready', `${whole(ready)} of ${whole(engines.length)}`],
    ['requests waiting', whole(sum)],
    ['open here', whole(openRequests)],
    ['gateway', `${replica}, ${stage}`],
  ];
  return (
    <dl class="tiles">
      {tiles.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Queues({ view: { queues } }: { view: LiveView }): VNode {
  // A key is charged for what runs, so it can have a backlog while nothing waits.
  const keys = queues.flatMap(({ model, kind, waiting, keys: ofQueue }) =>
    waiting === 0 ? [] : ofQueue.map((one) => ({ model, kind, ...one })),
  );
  return (
    <section class="card">
      <h2>Queues</h2>
      {queues.length === 0 ? <p class="empty">This gateway serves no model.</p> : null}
      <Table
        caption="Queues"
        columns={[
          'model',
          'kind',
          { number: 'waiting' },
          { number: 'told wait' },
          { number: 'drains, requests/s' },
          { number: 'booked' },
        ]}
      >
        {queues.map(({ model, kind, waiting, expectedWaitMs, requestsPerSecond, bookings }) => (
          <tr key={`${model} ${kind}`}>
            <th scope="row">{model}</th>
            <td>{kind}</td>
            <td class="number">{whole(waiting)}</td>
            <td class="number">{duration(expectedWaitMs)}</td>
            <td class="number">{tenths(requestsPerSecond)}</td>
            <td class="number">{whole(bookings)}</td>
          </tr>
        ))}
      </Table>
      <h3>Keys that wait</h3>
      {keys.length === 0 ? (
        <p class="empty">No key waits.</p>
      ) : (
        <Table caption="Keys that wait" columns={['key', 'class', 'model', 'kind', { number: 'backlog' }]}>
          {keys.map(({ key, class: tier, model, kind, backlogMs }) => (
            <tr key={`${key} ${tier} ${model} ${kind}`}>
              <th scope="row">{key}</th>
              <td>{tier}</td>
              <td>{model}</td>
              <td>{kind}</td>
              <td class="number">{duration(backlogMs)}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function Refusals({ view: { admission } }: { view: LiveView }): VNode {
  const refused = Object.entries(admission).filter(([outcome, count]) => outcome !== 'admitted' && count > 0);
  return (
    <section class="card">
      <h2>Refused since the start</h2>
      {refused.length === 0 ? (
        <p class="empty">Nothing was refused. Admitted: {whole(admission['admitted'] ?? 0)}.</p>
      ) : (
        <Table caption="Refusals by reason" columns={['reason', { number: 'requests' }]}>
          {refused.map(([outcome, count]) => (
            <tr key={outcome}>
              <th scope="row">
                {REFUSAL_WORDS[outcome] ?? outcome} <code>{outcome}</code>
              </th>
              <td class="number">{whole(count)}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function RedisServers({ view: { redis } }: { view: LiveView }): VNode {
  return (
    <section class="card">
      <h2>Redis</h2>
      <Table caption="Redis" columns={['server', 'state', { number: 'latency' }]}>
        {redis.map(({ name, state, latencyMs }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>
              <span class={`tag ${state === 'ok' ? 'good' : 'bad'}`}>{state}</span>
            </td>
            <td class="number">{duration(latencyMs)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
