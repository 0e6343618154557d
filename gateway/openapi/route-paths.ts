import type { Described, Description } from '../dialects/description.ts';
import type { Dialect } from '../dialects/dialect.ts';
import type { Dialects, ServedRoute } from '../dialects/index.ts';
import { operation } from './operation.ts';

/** A path that takes a POST, with its dialect and its description. */
export interface DescribedRoute {
  readonly route: ServedRoute;
  readonly dialect: Dialect;
  readonly description: Description;
}

/** Describes the routes, except those whose dialect is switched off. */
export function describeRoutes(
  routes: readonly ServedRoute[],
  dialects: Dialects,
  of: Omit<Described, 'deployment'>,
): DescribedRoute[] {
  return routes.flatMap((route) => {
    const dialect = dialects[route.dialect];
    if (dialect === undefined) return [];
    return [{ route, dialect, description: dialect.describe({ ...of, deployment: route.deployment }) }];
  });
}

const CHOSEN_BY = { header: ['azureml-model-deployment'], path: ['deployment'], none: [] } as const;

/** The paths of a route in the document, each with its one operation. */
export function routePaths({ route, dialect, description }: DescribedRoute): [path: string, methods: object][] {
  const { id, tag, deployment } = route;
  const path = route.path.replace(/[*:](\w+)/g, '{$1}');
  const { schemas: _, parameters = {}, ...facts } = description;
  const post = operation(dialect, {
    ...facts,
    id,
    tag,
    parameters: [...CHOSEN_BY[deployment], ...Object.keys(parameters)],
    stages: deployment === 'none' ? [] : ['deployment'],
  });
  if (dialect.durable !== true) return [[path, { post }]];
  const cancel = operation(dialect, {
    id: `${id}_cancel`,
    tag,
    summary: 'Ends the stream that has this idempotency key',
    parameters: ['idempotency-key', ...(deployment === 'path' ? ['deployment'] : [])],
    answer: 'CancelledStream',
    stages: ['kept'],
  });
  return [
    [path, { post }],
    [`${path}/cancel`, { post: cancel }],
  ];
}
