import type { Dialect } from '../dialects/dialect.ts';
import type { ApiFacts } from './facts.ts';
import { failuresOf, type Stage } from './failures.ts';
import { RESPONSE_HEADERS, type Parameter } from './headers.ts';

/** Paths of the document: each with its methods. */
export type Paths = Record<string, object>;

/** What an operation says in words, and which parts of the document it is made of. */
export interface OperationFacts {
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly parameters?: readonly (Parameter | object)[];
  /** name of the body's schema, and a body by the name of what it shows */
  readonly request?: { readonly schema: string; readonly examples: Readonly<Record<string, object>> };
  /** names of the answer's schema, and of its streamed events where it can be streamed */
  readonly answer: string;
  readonly event?: string;
  readonly stages: readonly Stage[];
}

/** One operation, with every status that its route can answer. */
export function operation(dialect: Dialect, facts: OperationFacts): object {
  const { id, tag, summary, parameters = [], request, answer, event, stages } = facts;
  const keyed = request === undefined ? [] : ['idempotency-key'];
  const all = ['x-request-id', 'x-ms-client-request-id', ...keyed, ...parameters];
  return {
    operationId: id,
    tags: [tag],
    summary,
    parameters: all.map((one) => (typeof one === 'string' ? { $ref: `#/components/parameters/${one}` } : one)),
    ...(request === undefined ? {} : { requestBody: body(request) }),
    responses: {
      200: {
        description: event === undefined ? 'the answer' : 'the answer, whole or as a stream of server-sent events',
        headers: answerHeaders(dialect, request !== undefined),
        content: { 'application/json': { schema: ref(answer) }, ...(event === undefined ? {} : stream(event)) },
      },
      ...failuresOf(dialect, ['guarded', ...(request === undefined ? [] : BODY_STAGES), ...stages]),
    },
  };
}

const BODY_STAGES = ['body', 'answered'] as const;

/** The name that examples call a model by. */
export function exampleModel({ cards }: ApiFacts): string {
  return cards[0]?.name ?? 'model';
}

/** A conversation as examples have it. */
export const HELLO = [{ role: 'user', content: 'Say hello.' }];
/** The same with a picture, a blue square. */
const LOOK = [
  {
    role: 'user',
    content: [
      {
        type: 'image_url',
        image_url: {
          url: 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAW0lEQVR42mP4T2PAMGrBkLHghIAeGqKOBZjmkmoTA4WmE7SDgXLT8dvBQBXT8djBQC3Tcdkx/CygxHSsdoxaMAItGM1og6Kwo0dxTY8Khx5VJj0q/dGG13CwAAA+UwII6biQTwAAAABJRU5ErkJggg==',
        },
      },
      { type: 'text', text: 'What is shown in this image?' },
    ],
  },
];

/** Examples of bodies with messages; one with a picture where a model sees. */
export function conversations({ cards }: ApiFacts, of: (messages: object[]) => object): Record<string, object> {
  const sees = cards.some(({ modalities }) => modalities.input.includes('image'));
  return { text: of(HELLO), ...(sees ? { picture: of(LOOK) } : {}) };
}

function body({ schema, examples }: NonNullable<OperationFacts['request']>): object {
  const named: [string, object][] = Object.entries(examples).map(([name, value]) => [name, { value }]);
  return {
    required: true,
    content: { 'application/json': { schema: ref(schema), examples: Object.fromEntries(named) } },
  };
}

/** One event, as its clients take it apart (OpenAPI 3.1 has no word for a sequence of them). */
function stream(event: string): object {
  const content = { anyOf: [ref(event), ref('StreamError')] };
  const json = { type: 'string', contentMediaType: 'application/json', contentSchema: content };
  const data = { anyOf: [{ const: '[DONE]' }, json] };
  const description = 'Each event of the stream; the last is `[DONE]`, or an error that ends it.';
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
    ...(isAnswered ? ['x-penstock-ignored', 'idempotent-replayed'] : []),
  ];
  return Object.fromEntries(
    names.filter((name) => name in RESPONSE_HEADERS).map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}

function ref(name: string): object {
  return { $ref: `#/components/schemas/${name}` };
}
