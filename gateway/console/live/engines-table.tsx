import type { VNode } from 'preact';
import type { LiveEngine } from '#contract/console';
import { whole } from '../format.ts';
import { Table } from '../table.tsx';
import { byPool, STATE_TONES } from './engine-words.ts';

export function EnginesTable({ engines }: { engines: readonly LiveEngine[] }): VNode {
  return (
    <section class="card">
      <h2>Engines</h2>
      {engines.length === 0 ? (
        <p class="empty">No worker reports an engine. Start a worker-launcher that uses the same Redis.</p>
      ) : (
        <Table
          caption="Engines"
          columns={[
            'engine',
            'state',
            'pool',
            'node',
            'model',
            'GPU',
            { number: 'text, in use / slots' },
            { number: 'pictures, in use / slots' },
            { number: 'restarts' },
            'last failure',
          ]}
        >
          {byPool(engines).flatMap(([pool, ofPool]) =>
            ofPool.map((engine) => <EngineRow key={`${engine.node} ${engine.id}`} pool={pool} engine={engine} />),
          )}
        </Table>
      )}
    </section>
  );
}

function EngineRow({ pool, engine }: { pool: string; engine: LiveEngine }): VNode {
  const { id, node, model, state, stage, gpus, inFlight, slots, restarts, lastFailure } = engine;
  return (
    <tr>
      <th scope="row">{id}</th>
      <td>
        <span class={`tag ${STATE_TONES[state] ?? 'bad'}`}>{state}</span>
        {stage === null ? null : <span class="hint"> {stage}</span>}
      </td>
      <td>{pool}</td>
      <td>{node}</td>
      <td>{model}</td>
      <td class="gpus">{gpus.length === 0 ? '–' : gpus.join(', ')}</td>
      <td class="number">
        {whole(inFlight.text)} / {whole(slots.text)}
      </td>
      <td class="number">
        {whole(inFlight.image)} / {whole(slots.image)}
      </td>
      <td class="number">{whole(restarts)}</td>
      <td class="sentence">{lastFailure ?? '–'}</td>
    </tr>
  );
}
