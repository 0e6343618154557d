import { toFailure } from '../failure.ts';
import type { EnginePath } from '#contract/job';
import type { Clock } from '#runtime/clock';
import type { AnswerFilter } from './answer-filter.ts';
import type { Ask } from './ask.ts';
import type { ClientStream } from './client-stream.ts';
import { Continuation, type ContinuationLimits } from './continuation.ts';
import { countTokensFor } from './count-tokens.ts';
import { DialectStream, type StreamExtras, type StreamLimits } from './dialect-stream.ts';
import { madeIdentity } from './empty-events.ts';
import { engineAnswer } from './engine/answer.ts';
import { filteredAnswer } from './filtered-answer.ts';
import { HeldAnswer } from './held-answer.ts';
import type { Notes } from './notes.ts';
import type { Asked } from './question.ts';
import type { Positions } from '../queue/queue-position.ts';
import { QueuedResponse } from './queued-response.ts';
import { QueueNews } from './queue-news.ts';
import type { Renderers } from './renderers.ts';
import { withServiceTier } from './service-tier.ts';
import { WholeReply } from './whole-reply.ts';

/** A client's own limit of silence never makes comments more frequent than this, in milliseconds. */
const SHORTEST_KEEP_ALIVE_MS = 250;

export interface DeliverDeps {
  readonly ask: Ask;
  readonly positions: Positions;
  readonly clock: Clock;
  /** see `StreamReplyOptions` */
  readonly keepAliveMs: number;
  readonly slowClientBytes: number;
  readonly continuation: ContinuationLimits;
}

/** The client of the answer, its form, and the notes about it. */
export interface Recipient {
  readonly client: ClientStream;
  readonly render: Renderers;
  readonly notes: Notes;
  /** fires when the client is gone; its reason is a Failure */
  readonly signal: AbortSignal;
  /** the content filter, if there is one */
  readonly filter?: AnswerFilter | undefined;
}

/**
 * Takes a checked request to the end of its answer.
 * @throws Failure of anything before the client had a byte; later failures are sent in the stream
 */
export type Deliver = (asked: Asked, recipient: Recipient) => Promise<void>;

export function createDeliver(deps: DeliverDeps): Deliver {
  return (asked, recipient) =>
    asked.stream ? deliverStream(deps, asked, recipient) : deliverWhole(deps, asked, recipient);
}

async function deliverWhole({ ask, clock }: DeliverDeps, asked: Asked, recipient: Recipient): Promise<void> {
  const { question, choices, messagesParam, form, serviceTier } = asked;
  const { client, render, notes, signal, filter } = recipient;
  const answer = engineAnswer(question.path, choices);
  const reply = new WholeReply(answer, messagesParam);
  const askedAt = clock();
  await ask(question, reply, notes.phases, signal);
  const modelMs = clock() - askedAt;
  notes.phases.firstByteAt = clock();
  notes.whole(reply.usage);
  const body = withServiceTier(await judged(reply, question.path, recipient), serviceTier);
  if (filter?.judge !== undefined) notes.phases.firstByteAt = clock();
  client.send(render.renderAnswer(body, { modelMs, ...(form === undefined ? {} : { form }) }));
}

async function deliverStream(deps: DeliverDeps, asked: Asked, recipient: Recipient): Promise<void> {
  const { ask } = deps;
  const { question } = asked;
  const { client, render, notes, signal, filter } = recipient;
  const isHeld = filter?.judge !== undefined || render.tellsFilterResults === true;
  const held =
    filter === undefined || !isHeld ? undefined : new HeldAnswer(asked, { ...recipient, filter }, deps.clock);
  const count = countTokensFor(question, ask, signal);
  const continuation = new Continuation(asked, deps.continuation, count, (outcome) => notes.continuation(outcome));
  const facts = { ...asked, path: question.path };
  const stream = new DialectStream(client, render, facts, continuation, {
    ...waitingExtras(deps, asked, recipient),
    ...(render.queuedEvents === undefined
      ? {}
      : { queued: new QueuedResponse(render.queuedEvents, question.model, notes.phases) }),
    identity: () => madeIdentity(question, notes.phases.requestId),
    ...(held === undefined ? {} : { hold: (one) => held.before(one) }),
  });
  try {
    await ask(question, stream.reply, notes.phases, held?.signal ?? signal);
    await held?.settle();
    stream.client.end();
  } catch (error) {
    if (held?.isBlocked === true) return stream.client.end();
    if (!client.isBegun) throw error;
    const failure = toFailure(error);
    notes.broken(failure);
    stream.breakOff(failure);
  } finally {
    held?.drop();
    stream.reply.close();
    notes.streamed(stream.reply.bytes, stream.reply.usage);
  }
}

/** An answer as the content filter leaves it. */
function judged(
  { body, outline }: WholeReply,
  path: EnginePath,
  { filter, render, signal }: Recipient,
): Buffer | Promise<Buffer> {
  if (filter === undefined || path === '/tokenize') return body;
  return filteredAnswer({ path, body, outline, isTold: render.tellsFilterResults === true }, filter, signal);
}

/** What a stream says and notes while its client waits here for it. */
export function waitingExtras(
  { positions, clock, keepAliveMs, slowClientBytes }: Omit<DeliverDeps, 'ask' | 'continuation'>,
  asked: Asked,
  { notes: { phases } }: Pick<Recipient, 'notes'>,
): Omit<StreamExtras, 'identity'> & StreamLimits {
  return {
    news: new QueueNews(positions, asked, phases, clock),
    keepAliveMs: keepAliveFor(asked, keepAliveMs),
    slowClientBytes,
    clock,
    onFirstByte: () => {
      phases.firstByteAt = clock();
    },
  };
}

/** Two comments fall into the longest silence that the client accepts, because one may be late. */
function keepAliveFor({ silenceMs }: Asked, keepAliveMs: number): number {
  if (silenceMs === undefined) return keepAliveMs;
  return Math.min(keepAliveMs, Math.max(SHORTEST_KEEP_ALIVE_MS, silenceMs / 2));
}
