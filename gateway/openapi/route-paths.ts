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

/** A path of the document with its one operation. */
export function routePath({ route, dialect, description }: DescribedRoute): [path: string, methods: object] {
  const { path, id, tag, deployment } = route;
  const { schemas: _, parameters = {}, ...facts } = description;
  const post = operation(dialect, {
    ...facts,
    id,
    tag,
    parameters: [...CHOSEN_BY[deployment], ...Object.keys(parameters)],
    stages: deployment === 'none' ? [] : ['deployment'],
  });
  return [path.replace(/[*:](\w+)/g, '{$1}'), { post }];
}
