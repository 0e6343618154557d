import type { RequestHandler } from 'express';
import type { Caller } from '../keys/caller.ts';
import type { ApiFacts } from '../dialects/description.ts';
import { openApiDocument, type Served } from '../openapi/document.ts';
import { apiFacts, type FactSources } from '../openapi/facts.ts';
import { scoreDocument } from '../openapi/score-document.ts';
import { requestContext } from './request-context.ts';

interface Documents {
  /** `GET /openapi.json` */
  readonly all: RequestHandler;
  /** `GET /swagger.json` */
  readonly score: RequestHandler;
}

/** The documents of the API, which list for each caller the models that it may use. */
export function documents(sources: FactSources, served: Served): Documents {
  return {
    all: serve(sources, (facts) => openApiDocument(facts, served)),
    score: serve(sources, (facts) => scoreDocument(facts, served.dialects.score)),
  };
}

/** Builds the document once for each set of models. */
function serve(sources: FactSources, make: (facts: ApiFacts) => object): RequestHandler {
  const made = new Map<string, string>();
  const textFor = (caller: Caller): string => {
    const facts = apiFacts(sources, (card) => caller.mayUse(card));
    const models = facts.cards.map(({ name }) => name).join(' ');
    const text = made.get(models) ?? JSON.stringify(make(facts));
    made.set(models, text);
    return text;
  };
  return (_req, res) => {
    res.type('application/json').send(textFor(requestContext(res).caller));
  };
}
