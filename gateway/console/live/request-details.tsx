import type { VNode } from 'preact';
import { FactsList } from '../facts-list.tsx';
import { useEffect, useRef } from 'preact/hooks';
import type { LiveRequest } from '#contract/console';
import { duration, whole } from '../format.ts';
import { Table } from '../table.tsx';
import { phasesOf, type Phase } from './phases.ts';

/** Of the drawing, in its own units. */
const WIDTH = 600;
const ROW = 26;
/** A phase that took no time is still seen. */
const THINNEST = 2;

/** One request as a timeline of its phases. */
export function RequestDetails({ request, close }: { request: LiveRequest; close: () => void }): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const phases = phasesOf(request);
  const { requestId, keyId, model, dialect, path, status, outcome, kind, stream, promptTokens, completionTokens } =
    request;
  const facts: [string, string | undefined][] = [
    ['outcome', `${status}, ${outcome}`],
    ['key', keyId],
    ['model', model],
    ['route', `${path} (${dialect})`],
    ['kind', kind],
    ['streamed', stream === undefined ? undefined : stream ? 'yes' : 'no'],
    ['prompt', promptTokens === undefined ? undefined : `${whole(promptTokens)} tokens`],
    ['answer', completionTokens === undefined ? undefined : `${whole(completionTokens)} tokens`],
    ['repeats', String(request.repeats)],
  ];
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="request-title">
      <div class="heading">
        <h2 id="request-title">Request {requestId}</h2>
        <button type="button" class="quiet" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
      <FactsList facts={facts} />
      <Timeline phases={phases} totalMs={request.totalMs} />
      <Table caption="Phases" columns={['phase', { number: 'from' }, { number: 'took' }, '']}>
        {phases.map(({ name, fromMs, toMs, note }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="number">{duration(fromMs)}</td>
            <td class="number">{duration(toMs - fromMs)}</td>
            <td>{note}</td>
          </tr>
        ))}
      </Table>
    </dialog>
  );
}

/** The table below it has the same figures for those who do not see it. */
function Timeline({ phases, totalMs }: { phases: readonly Phase[]; totalMs: number }): VNode {
  const at = (ms: number): number => (totalMs === 0 ? 0 : (ms / totalMs) * WIDTH);
  return (
    <svg class="timeline" viewBox={`0 0 ${WIDTH} ${phases.length * ROW}`} aria-hidden="true">
      {phases.map(({ name, fromMs, toMs }, row) => (
        <rect
          key={name}
          class={`phase-${row}`}
          x={Math.min(at(fromMs), WIDTH - THINNEST)}
          y={row * ROW + 3}
          width={Math.max(THINNEST, at(toMs) - at(fromMs))}
          height={ROW - 6}
          rx={2}
        />
      ))}
    </svg>
  );
}
