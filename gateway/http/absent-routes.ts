import type { RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import type { Catalog } from '#contract/model-card';

/** Where Azure's clients find the paths of OpenAI's API. */
const AZURE_BASES = ['/openai/v1', '/openai'] as const;

const SERVED = 'served are /v1/chat/completions, /v1/completions, /v1/responses, /v1/models and /score';
const TEXT_ONLY = `the models here read text and pictures and answer in text; ${SERVED}`;
const NOTHING_STORED = 'nothing is stored here: send the whole conversation with each request to /v1/chat/completions';
const NO_TRAINING = `models are served here, not trained or measured; ${SERVED}`;

/** Parts of OpenAI's API, and of vLLM's, that callers ask for and that are not here, each with what is in its place. */
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
  'responses/:id': NOTHING_STORED,
  'chat/completions/:id': NOTHING_STORED,
};
/** Refused in the card's name. */
const BATCHES = ['batches', 'files', 'uploads'] as const;

/** First segments of paths of OpenAI's API, below its /v1; those that Azure has there as well have routes of their own. */
export const OPENAI_SEGMENTS: readonly string[] = [
  ...new Set([...Object.keys(ABSENT).map((path) => path.split('/', 1)[0] ?? path), ...BATCHES]),
];

interface AbsentRoute {
  readonly paths: string[];
  /** the same where Azure's clients look for it */
  readonly azurePaths: string[];
  readonly stage: 'absent' | 'noBatch';
  readonly refuse: RequestHandler;
}

/** Refusals by name, in the place of a bare 404; no job is made. */
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
  const message = `${card ?? 'this gateway'} takes no batches; send each request to /v1/chat/completions`;
  const noBatch = (): Failure => new Failure('batch_not_supported', message, card === undefined ? {} : { card });
  const noTokens = (asked: string): Failure =>
    new Failure(
      'route_not_found',
      `${asked} is not served; /tokenize is where the operator sets GATEWAY_TOKENIZE=true`,
    );
  return [
    ...routes,
    { paths: ['/tokenize', '/detokenize'], azurePaths: [], stage: 'absent', refuse: refusal(noTokens) },
    { ...under(...BATCHES), stage: 'noBatch', refuse: refusal(noBatch) },
  ];
}

function refusal(failure: (asked: string) => Failure): RequestHandler {
  return (req) => {
    throw failure((req.baseUrl + req.path).replace(/\/$/, '').slice(0, 200));
  };
}
