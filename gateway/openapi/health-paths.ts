import type { Dialect } from '../dialects/dialect.ts';
import { operation, type Paths } from './operation.ts';

const TAG = 'OpenAI';

/** What clients of vLLM ask of a server before they send anything. */
export function healthPaths(dialect: Dialect): Paths {
  return {
    '/health': { get: health('health') },
    '/ping': { get: health('ping'), post: health('pingByPost') },
    '/version': {
      get: operation(dialect, { id: 'version', tag: TAG, summary: 'Of the gateway', answer: 'Version', stages: [] }),
    },
  };
}

function health(operationId: string): object {
  return {
    operationId,
    tags: [TAG],
    summary: 'Whether an engine can answer; needs no key',
    security: [],
    responses: { 200: { description: 'an engine can answer' }, 503: { description: 'no engine is ready' } },
  };
}
