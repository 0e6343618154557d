import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { ANSWERS } from './recording-engine.ts';

/** The expected answers are data: the YAML files beside this one. `match.ts` explains the patterns. */
const HERE = 'test/azure-conformance';

const Expected = z.strictObject({
  status: z.union([z.int(), z.string()]),
  headers: z.record(z.string(), z.string()).optional(),
  /** of the body as JSON */
  body: z.json().optional(),
  /** the exact body */
  text: z.string().optional(),
  /** fields of the body's `error`, which always has a code and a sentence */
  error: z.record(z.string(), z.json()).optional(),
  stream: z
    .strictObject({
      /** all deltas together */
      text: z.string().optional(),
      /** `[DONE]` as the last event, or an event with `error` and no `[DONE]` */
      ends: z.enum(['done', 'error']),
      /** of that `error` */
      error: z.json().optional(),
      /** a form that azure-ai-inference can read: only `data: ` lines that end with LF */
      plain: z.boolean().optional(),
      /** every chunk */
      chunks: z.json().optional(),
      /** no chunk with usage only, or one as the last */
      usage: z.enum(['none', 'last']).optional(),
      /** the body is complete according to HTTP */
      whole: z.boolean().optional(),
    })
    .optional(),
  /** what the engine received: its route, all prompts in order, its last request's body */
  engine: z
    .union([
      z.literal('nothing'),
      z.strictObject({
        path: z.string().optional(),
        prompts: z.array(z.string()).optional(),
        body: z.record(z.string(), z.json()).optional(),
      }),
    ])
    .optional(),
});
export type Expected = z.infer<typeof Expected>;

const Row = z.strictObject({
  id: z.string(),
  /** section and line of the contract */
  follows: z.string(),
  /** the statement of that line */
  says: z.string(),
  /** one of `gateways.yaml`; absent: the shipped card, no settings */
  gateway: z.string().optional(),
  /** how the engine answers */
  engine: z.enum(ANSWERS).default('text'),
  /** method and path; several are as many rows */
  request: z.union([z.string(), z.array(z.string())]),
  /** besides a valid Bearer key; an empty text removes a header */
  headers: z.record(z.string(), z.string()).default({}),
  body: z.json().optional(),
  /** bytes instead of a JSON body */
  raw: z.string().optional(),
  expect: Expected,
  /** number in `decisions.yaml`, if Penstock deviates on purpose */
  decision: z.int().optional(),
});
const File = z.strictObject({ shared: z.record(z.string(), z.json()), rows: z.array(Row) });

export type Check = Omit<z.infer<typeof Row>, 'request'> & { readonly method: string; readonly path: string };

export const Gateways = z.record(
  z.string(),
  z.strictObject({
    cards: z.array(z.string()).min(1),
    env: z.record(z.string(), z.string()).default({}),
    occupied: z.boolean().default(false),
  }),
);

/** A YAML file beside this one. */
export function readYaml<T>(file: string, schema: z.ZodType<T>): T {
  return schema.parse(parse(readFileSync(join(HERE, file), 'utf8'), { merge: true }));
}

/**
 * Every row of every file, once per request.
 * @throws Error for a duplicate id, an unknown gateway or an unknown decision
 */
export function readChecks(): readonly { readonly file: string; readonly checks: readonly Check[] }[] {
  const gateways = readYaml('gateways.yaml', Gateways);
  const decisions = readYaml('decisions.yaml', z.record(z.string(), z.string()));
  const ids = new Set<string>();
  return readdirSync(join(HERE, 'expected')).map((file) => {
    const { rows } = readYaml(join('expected', file), File);
    for (const { id, gateway, decision } of rows) {
      if (ids.has(id)) throw new Error(`two rows have the id ${id}`);
      ids.add(id);
      if (gateway !== undefined && gateways[gateway] === undefined) throw new Error(`${id}: no gateway ${gateway}`);
      if (decision !== undefined && decisions[decision] === undefined)
        throw new Error(`${id}: no decision ${decision}`);
    }
    return { file: file.replace('.yaml', ''), checks: rows.flatMap(checksOf) };
  });
}

function checksOf({ request, ...row }: z.infer<typeof Row>): Check[] {
  return [request].flat().map((line) => {
    const [method = '', path = ''] = line.split(' ');
    return { ...row, id: Array.isArray(request) ? `${row.id} ${path}` : row.id, method, path };
  });
}
