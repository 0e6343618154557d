import type { Dialect } from '../dialects/dialect.ts';
import { failuresOf, type Stage } from './failures.ts';
import type { Paths } from './operation.ts';

/** A path that is refused with a reason, and how. */
export interface AbsentPath {
  readonly path: string;
  readonly stage: Stage;
  readonly dialect: Dialect;
}

/** Paths that callers request but Penstock lacks; each is refused, for every method, with its replacement. */
export function absentPaths(absent: readonly AbsentPath[]): Paths {
  return Object.fromEntries(
    absent.map(({ path, stage, dialect }) => [
      path.replace(/:(\w+)/, '{$1}'),
      {
        post: {
          operationId: `absent${path.replace(/\W+(\w?)/g, (_match, letter: string) => letter.toUpperCase())}`,
          tags: ['Not served'],
          summary: 'Refused; the error names the replacement',
          ...(path.includes(':')
            ? {
                parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string', pattern: '^\\w+$' } }],
              }
            : {}),
          responses: failuresOf(dialect, ['guarded', stage]),
        },
      },
    ]),
  );
}
