import type { Request, RequestHandler, Response } from 'express';
import type { ChatRequest, Keeping } from '../request/chat.ts';
import type { ModelCard } from '#contract/model-card';
import type { Deliver, Recipient } from '../answer/deliver.ts';
import { asksFor, type Asked } from '../answer/question.ts';
import { Failure } from '../failure.ts';
import type { Limits } from '../limits/limits.ts';
import type { StructureLimits } from '../intake/json-structure.ts';
import { PictureBytes } from '../intake/picture-bytes.ts';
import type { Prepare } from '../request/prepare.ts';
import type { OnDisconnect, Posts, Wish } from '../durable/durable-posts.ts';
import { inputOf } from '../durable/earlier.ts';
import type { Kept } from '../durable/kept-answers.ts';
import { HeldBody } from '../queue/held-body.ts';
import type { ClientStream } from '../answer/client-stream.ts';
import type { ContentSafety } from '../safety/content-safety.ts';
import { namingPrevious } from '../durable/naming-previous.ts';
import { HttpClientStream } from './client-stream.ts';
import { RequestFilter } from './content-filter.ts';
import { patienceOf } from './deadline.ts';
import { jsonBody } from './json-body.ts';
import { answerNotes, notePrepared, noteRequest, noteWait, type NotesDeps } from './notes.ts';
import { requestContext, type RequestContext } from './request-context.ts';
import { withinLimits } from './within-limits.ts';

const REPEATED = ['x-penstock-ignored', 'x-penstock-service-tier'];
const ON_DISCONNECT = 'x-penstock-on-disconnect';

export interface GenerateDeps extends NotesDeps {
  readonly structure: StructureLimits;
  readonly prepare: Prepare;
  readonly deliver: Deliver;
  readonly limits: Pick<Limits, 'charge'>;
  readonly kept: Kept;
  /** absent: nothing is filtered */
  readonly safety: ContentSafety | undefined;
  readonly posts: Posts;
}

/**
 * Serves a request in the dialect of its route: parse, then answer. Failures go to the error middleware.
 * @param cardOf gives the model of a route whose bodies name none
 */
export function chatHandler(
  deps: GenerateDeps,
  timeoutMs: number,
  cardOf?: (res: Response) => ModelCard,
): RequestHandler {
  return async (req, res) => {
    const context = requestContext(res);
    const { dialect: render, signal, phases, earlier } = context;
    const onDisconnect = onDisconnectOf(req);
    if (earlier !== undefined) {
      // A repeat is refused for what its first try would be.
      patienceOf(req.headers, true, timeoutMs);
      const lastEventId = req.headers['last-event-id'];
      const reader = { client: new HttpClientStream(res, phases), render, signal };
      const after = typeof lastEventId === 'string' ? lastEventId : undefined;
      return deps.posts.attach(earlier, after, reader, (headers) =>
        res.setHeaders(new Map(Object.entries({ ...headers, 'idempotent-replayed': 'true' }))),
      );
    }
    // In two steps, so that the caller's request and its pictures are released before the long wait for an answer.
    const { asked, filtering } = await read(deps, req, res, timeoutMs, cardOf?.(res));
    const client = clientOf(deps, res, asked);
    context.goesOn = asked.stored?.background === true;
    try {
      await withinLimits(deps.limits, res, asked, answerNotes(deps, context), async (notes) => {
        const filter = await filtering?.judged(asked, context);
        const wish = { onDisconnect, headers: repeated(res) };
        await answer(deps, asked, { ...context, wish }, { client, render, notes, signal, filter });
      });
    } finally {
      noteWait(deps, context, asked.question.kind);
    }
  };
}

/** Gets the answer of a checked request on its way: it ends with its connection, is kept, or outlives the connection. */
function answer(
  { deliver, kept, posts }: GenerateDeps,
  asked: Asked,
  { turn, wish }: Pick<RequestContext, 'turn'> & { readonly wish: Wish },
  recipient: Recipient,
): Promise<void> {
  const { stored } = asked;
  if (asked.isDurable === true && turn !== undefined) return posts.answer(asked, wish, turn, recipient);
  if (wish.onDisconnect === 'continue') {
    const where = recipient.filter?.judge === undefined ? 'on /v1/responses' : 'where answers are filtered';
    const message = `${ON_DISCONNECT}: continue needs an idempotency-key, not ${where}`;
    throw new Failure('invalid_request', message, { param: ON_DISCONNECT });
  }
  return stored === undefined ? deliver(asked, recipient) : kept.answer(asked, stored, recipient);
}

/** @throws Failure of the body, of the card, of a picture */
async function read(
  { structure, prepare, kept, posts, safety, clock }: GenerateDeps,
  req: Request,
  res: Response,
  timeoutMs: number,
  card: ModelCard | undefined,
): Promise<{ readonly asked: Asked; readonly filtering: RequestFilter | undefined }> {
  const context = requestContext(res);
  const { dialect, chosen, caller, memory, signal, arrivedAt, turn } = context;
  const said = { headers: req.headers, ...(card === undefined ? {} : { card }) };
  const pictures = new PictureBytes(memory);
  const model = card === undefined ? chosen : { model: card.name };
  const asks = choose(dialect.parse(jsonBody(req, structure, pictures), said), model);
  noteRequest(res, asks);
  const { keeping } = asks;
  const isJudged = safety?.checks('answer') === true;
  const stored = isJudged ? keptNowhere(keeping) : kept.storedOf(keeping);
  const isBackground = stored?.background === true;
  // A client's own timeout does not limit an answer that it need not wait for.
  const limitMs = isBackground ? kept.backgroundTimeoutMs : timeoutMs;
  const outlives = isBackground || (turn !== undefined && dialect.durable === true && !isJudged);
  const { deadlineMs, ...patience } = patienceOf(req.headers, asks.stream || outlives, limitMs);
  const joined = await kept.earlier.into(asks, { keyId: caller.id, pictures, signal });
  const { request, own } = joined;
  // Engines always stream kept answers, so that they can be streamed later.
  const wanted = stored === undefined ? request : { ...request, stream: true };
  const prepared = await prepare(wanted, pictures, caller, signal);
  notePrepared(res, prepared);
  const isFiltered = safety !== undefined && asks.route !== '/tokenize';
  const filtering = isFiltered ? new RequestFilter(safety, clock, { request, prepared, pictures }) : undefined;
  await kept.earlier.used(joined, deadlineMs);
  const isDurable = outlives && stored === undefined && posts.isOffered(prepared.card.name);
  const deadline = { deadlineMs, deadlineAt: arrivedAt + deadlineMs };
  const terms = { keyId: caller.id, memory, ...patience, ...deadline };
  const ready = (more: Partial<Parameters<typeof asksFor>[2]>) => ({
    asked: asksFor(request, prepared, { ...terms, ...more }),
    filtering,
  });
  if (isDurable) return ready({ isDurable, logBytes: kept.logBytes });
  const hasItems = keeping !== undefined && keeping.store !== false;
  const previous = keeping?.previous_response_id ?? undefined;
  if (stored === undefined) return ready({ hasItems, ...(previous === undefined ? {} : { previous }) });
  const input = stored.store ? inputOf(request.messages.slice(own), prepared.messages.slice(own), pictures) : undefined;
  const withInput = input === undefined ? {} : { input: new HeldBody(input) };
  return ready({ stored, hasItems, logBytes: kept.logBytes, ...withInput });
}

/**
 * What is kept of an answer is what its engine wrote, which no filter has judged.
 * @throws Failure `unsupported_parameter`
 */
function keptNowhere(keeping: Keeping | undefined): undefined {
  const param = keeping?.background === true ? 'background' : 'store';
  if (keeping?.background !== true && keeping?.store !== true) return undefined;
  const message = `${param} must not be true here: the operator filters answers, and kept answers are not filtered`;
  throw new Failure('unsupported_parameter', message, { param });
}

/** The client of an answer. What is kept of an answer that is not a kept response is noticed on the way to it. */
function clientOf(
  { kept }: GenerateDeps,
  res: Response,
  { stored, hasItems, previous, question }: Asked,
): ClientStream {
  const client = new HttpClientStream(res, requestContext(res).phases);
  if (stored !== undefined) return client;
  const told = previous === undefined ? client : namingPrevious(client, previous);
  return hasItems === true ? kept.items.keeping(told, question) : told;
}

/** Headers of an answer that come again with it. */
function repeated(res: Response): Record<string, string> {
  const told = REPEATED.map((name) => [name, res.getHeader(name)] as const);
  return Object.fromEntries(told.flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])));
}

/** @throws Failure `invalid_request` */
function onDisconnectOf({ headers }: Request): OnDisconnect | undefined {
  const said = headers[ON_DISCONNECT];
  if (said === undefined || said === 'cancel' || said === 'continue') return said;
  throw new Failure('invalid_request', `${ON_DISCONNECT} must be cancel or continue`, { param: ON_DISCONNECT });
}

/** Sets the chosen deployment's model, whatever the body's `model` is. */
function choose(request: ChatRequest, chosen: { readonly model?: string } | undefined): ChatRequest {
  if (chosen === undefined) return request;
  const { model: _, ...rest } = request;
  return { ...rest, ...chosen };
}
