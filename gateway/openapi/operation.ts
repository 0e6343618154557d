import type { Description } from '../dialects/description.ts';
import type { Dialect } from '../dialects/dialect.ts';
import { failuresOf, type Stage } from './failures.ts';
import { LIMIT_HEADERS, RESPONSE_HEADERS } from './headers.ts';

/** Paths of the document, each with its methods. */
export type Paths = Record<string, object>;

/** The texts of an operation, and the parts of the document that it refers to. */
export interface OperationFacts {
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  /** names of headers and parameters */
  readonly parameters?: readonly string[];
  readonly request?: Description['request'];
  /** names of the answer's schema, and of its events if it can be streamed */
  readonly answer: string;
  readonly event?: string;
  readonly hasEndMark?: false;
  readonly stages: readonly Stage[];
}

/** One operation, with every status that its route can answer. */
export function operation(dialect: Dialect, facts: OperationFacts): object {
  const { id, tag, summary, parameters = [], request, answer, event, hasEndMark = true, stages } = facts;
  const headers = dialect.keyHeaders ?? [];
  const ofPosts = request === undefined ? [] : ['idempotency-key', 'x-penstock-deadline-ms'];
  const resumed = dialect.numbersEvents === true ? ['last-event-id'] : [];
  const ofStreams = event === undefined ? [] : ['x-penstock-progress', 'x-penstock-on-disconnect', ...resumed];
  const all = ['x-request-id', 'x-ms-client-request-id', ...ofPosts, ...ofStreams, ...parameters];
  return {
    operationId: id,
    tags: [tag],
    summary,
    parameters: all.map((name) => ({ $ref: `#/components/parameters/${name}` })),
    ...(headers.length === 0 ? {} : { security: ['bearer', 'apiKey', ...headers].map((scheme) => ({ [scheme]: [] })) }),
    ...(request === undefined ? {} : { requestBody: body(request) }),
    responses: {
      200: {
        description: event === undefined ? 'the answer' : 'the answer, complete or as a stream of server-sent events',
        headers: answerHeaders(dialect, request !== undefined),
        content: {
          'application/json': { schema: ref(answer) },
          ...(event === undefined ? {} : stream(event, hasEndMark)),
        },
      },
      ...failuresOf(dialect, ['guarded', ...(request === undefined ? [] : BODY_STAGES), ...stages]),
    },
  };
}

const BODY_STAGES = ['body', 'answered'] as const;

function body({ schema, examples }: NonNullable<OperationFacts['request']>): object {
  const named: [string, object][] = Object.entries(examples).map(([name, value]) => [name, { value }]);
  return {
    required: true,
    content: { 'application/json': { schema: ref(schema), examples: Object.fromEntries(named) } },
  };
}

/** One event as its clients parse it, because OpenAPI 3.1 cannot describe a sequence of events. */
function stream(event: string, hasEndMark: boolean): object {
  if (!hasEndMark) return events('Each event of the stream.', jsonText(ref(event)));
  const content = { anyOf: [ref(event), ref('StreamError')] };
  const data = { anyOf: [{ const: '[DONE]' }, jsonText(content)] };
  const description = 'Each event of the stream; the last is `[DONE]`, or an error event that ends the stream.';
  return events(description, data);
}

function jsonText(contentSchema: object): object {
  return { type: 'string', contentMediaType: 'application/json', contentSchema };
}

function events(description: string, data: object): object {
  return {
    'text/event-stream': { schema: { type: 'object', description, properties: { data }, required: ['data'] } },
  };
}

function answerHeaders({ headers = {}, requestIdHeader }: Dialect, isAnswered: boolean): object {
  const names = [
    'x-request-id',
    'x-ms-request-id',
    ...Object.keys(headers),
    ...(requestIdHeader === undefined ? [] : [requestIdHeader]),
    ...(isAnswered ? ['x-penstock-ignored', 'idempotent-replayed', ...LIMIT_HEADERS] : []),
  ];
  return Object.fromEntries(
    names.filter((name) => name in RESPONSE_HEADERS).map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}

function ref(name: string): object {
  return { $ref: `#/components/schemas/${name}` };
}
