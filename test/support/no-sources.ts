import type { Sources } from '../../gateway/metrics.ts';

/** For metrics of a gateway that is not there. */
export const NO_SOURCES: Sources = {
  models: [],
  depth: () => Promise.resolve(0),
  outlook: () => Promise.reject(new Error('none')),
  lagMs: () => 0,
  auditLinesLost: () => 0,
};
