import type { LiveRequest } from '#contract/console';

/** A part of the time of a request, in milliseconds since its first byte. */
export interface Phase {
  readonly name: 'arrival and checks' | 'queue' | 'engine, until the first byte' | 'answer';
  readonly fromMs: number;
  readonly toMs: number;
  /** what is known of it besides its length */
  readonly note: string;
}

/** The phases that a request reached; the last one ends where the request ended. */
export function phasesOf(request: LiveRequest): Phase[] {
  const { enqueuedMs, claimedMs, firstByteMs, totalMs } = request;
  // The end of each phase. A repeat is claimed again after its first byte, so no phase begins before the one ahead of it.
  const ends = [enqueuedMs, claimedMs, firstByteMs, totalMs];
  const names = ['arrival and checks', 'queue', 'engine, until the first byte', 'answer'] as const;
  const phases: Phase[] = [];
  let fromMs = 0;
  for (const [index, name] of names.entries()) {
    const end = ends[index];
    const toMs = Math.min(totalMs, Math.max(fromMs, end ?? totalMs));
    phases.push({ name, fromMs, toMs, note: noteOf(name, request) });
    if (end === undefined) break;
    fromMs = toMs;
  }
  return phases;
}

function noteOf(name: Phase['name'], request: LiveRequest): string {
  const { promptCheckMs, answerCheckMs, estimateMs, completionTokens, repeats } = request;
  switch (name) {
    case 'arrival and checks':
      return promptCheckMs === undefined ? '' : `content filter ${Math.round(promptCheckMs)} ms`;
    case 'queue':
      return estimateMs === undefined ? '' : `told ${Math.round(estimateMs)} ms`;
    case 'engine, until the first byte':
      return repeats === 0 ? '' : `repeated ${repeats} ×`;
    case 'answer':
      return [
        ...(completionTokens === undefined ? [] : [`${completionTokens} tokens`]),
        ...(answerCheckMs === undefined ? [] : [`content filter ${Math.round(answerCheckMs)} ms`]),
      ].join(', ');
  }
}

/** How a request ended, for the filter. */
export const ENDS = ['all', 'answered', 'refused', 'failed', 'left'] as const;
export type End = (typeof ENDS)[number];

export function endOf({ status, outcome }: LiveRequest): Exclude<End, 'all'> {
  if (outcome === 'client_closed') return 'left';
  if (status >= 500) return 'failed';
  // A stream that broke has the status 200, and the code of its failure.
  return status >= 400 ? 'refused' : outcome === 'answered' ? 'answered' : 'failed';
}
