import type { Request, RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import type { Catalog } from '#contract/model-card';

/** Paths of OpenAI's API below these bases are for Azure's clients. */
const AZURE_BASES = ['/openai/v1', '/openai'] as const;

const SERVED = 'served are /v1/chat/completions, /v1/completions, /v1/responses, /v1/models and /score';
const TEXT_ONLY = `the models here read text and pictures and answer in text; ${SERVED}`;
const NOTHING_STORED = 'nothing is stored here: send the entire conversation with each request to /v1/chat/completions';
const NO_TRAINING = `models are served here, not trained or measured; ${SERVED}`;

/** Parts of OpenAI's and vLLM's APIs that callers request but Penstock lacks, each with its replacement. */
const ABSENT: Readonly<Record<string, string>> = {
  embeddings: TEXT_ONLY,
  audio: TEXT_ONLY,
  images: `${TEXT_ONLY}; a picture is a part of a message`,
  videos: TEXT_ONLY,
  moderations: TEXT_ONLY,
  realtime: `answers are streamed over HTTP; send "stream": true to /v1/chat/completions`,
  rerank: TEXT_ONLY,
  score: "texts are not scored here; Azure's chat route is /score, without /v1",
  fine_tuning: NO_TRAINING,
  evals: NO_TRAINING,
  assistants: NOTHING_STORED,
  threads: NOTHING_STORED,
  conversations: NOTHING_STORED,
  vector_stores: NOTHING_STORED,
  containers: NOTHING_STORED,
  'chat/completions/:id': NOTHING_STORED,
};
/** These refusals name the card. */
const BATCHES = ['batches', 'files', 'uploads'] as const;

/** First segments of paths of OpenAI's API, below its /v1. Those that Azure has too have their own routes. */
const OPENAI_SEGMENTS: readonly string[] = [
  ...new Set([...Object.keys(ABSENT).map((path) => path.split('/', 1)[0] ?? path), ...BATCHES]),
];

interface AbsentRoute {
  readonly paths: string[];
  /** the same below Azure's bases */
  readonly azurePaths: string[];
  readonly stage: 'absent' | 'noBatch';
  readonly refuse: RequestHandler;
}

/** Refusals with a reason instead of a bare 404; they add no job. */
export function absentRoutes(catalog: Catalog): AbsentRoute[] {
  const under = (...paths: readonly string[]) => ({
    paths: paths.map((path) => `/v1/${path}`),
    azurePaths: AZURE_BASES.flatMap((base) => paths.map((path) => `${base}/${path}`)),
  });
  const routes = Object.entries(ABSENT).map(([path, instead]) => ({
    ...under(path),
    stage: 'absent' as const,
    refuse: refusal((asked) => new Failure('route_not_found', `${asked} is not served: ${instead}`)),
  }));
  const card = catalog.cards.find(({ limits }) => !limits.batch)?.name;
  const each = 'send each request to /v1/chat/completions';
  const noBatch = (asked: string): Failure => {
    const isBatch = asked.endsWith('/batches') || asked.includes('/batches/');
    const message = isBatch
      ? `${card ?? 'this gateway'} takes no batches; ${each}`
      : `no files are kept here: a text or a picture is a part of a message; ${each}`;
    return new Failure('batch_not_supported', message, card === undefined ? {} : { card });
  };
  const noTokens = (asked: string): Failure => {
    const which = asked === '/tokenize' ? 'it' : '/tokenize';
    return new Failure(
      'route_not_found',
      `${asked} is not served; ${which} is served if the operator sets GATEWAY_TOKENIZE=true`,
    );
  };
  return [
    ...routes,
    { paths: ['/tokenize', '/detokenize'], azurePaths: [], stage: 'absent', refuse: refusal(noTokens) },
    { ...under(...BATCHES), stage: 'noBatch', refuse: refusal(noBatch) },
  ];
}

function refusal(failure: (asked: string) => Failure): RequestHandler {
  return (req) => {
    const asked = pathOf(req);
    const doubled = saysTwice(asked);
    throw doubled === '' ? failure(asked.replace(/\/$/, '')) : notHere(req);
  };
}

/** Paths of OpenAI's API from clients whose base URL lacks its end. */
const OF_OPENAI = new RegExp(`^/(?:responses|models|${OPENAI_SEGMENTS.join('|')})(?:/|$)`);

/** Paths of Azure AI inference from clients whose endpoint still ends in the scoring URI of a managed endpoint. */
const BENEATH_SCORE = /^\/score\/./;

/** The failure for an unknown path. It names the error in the client's base URL if that can be seen. */
export function notHere(req: Request): Failure {
  const path = pathOf(req);
  return new Failure('route_not_found', `there is no ${req.method} ${path} here${saysTwice(path) || wrongEnd(path)}`);
}

/** What to change at the end of the base URL of a client that asked for this path. */
function wrongEnd(path: string): string {
  if (BENEATH_SCORE.test(path)) return '; no route is under /score: remove /score from the base URL of your client';
  return OF_OPENAI.test(path) ? "; OpenAI's routes are under /v1: end the base URL of your client in /v1" : '';
}

function pathOf(req: Request): string {
  return (req.baseUrl + req.path).slice(0, 200);
}

/** Clients append the path of a route to a base URL that already ends in it, or in a part of it. */
function saysTwice(path: string): string {
  const part = /((?:\/[^/]+)+)\1(?=\/|$)/.exec(path)?.[1];
  return part === undefined ? '' : `; ${part} is in it twice: remove one from the base URL of your client`;
}
