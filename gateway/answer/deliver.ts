import { toFailure } from '../failure.ts';
import type { Clock } from '#runtime/clock';
import type { Ask } from './ask.ts';
import type { ClientStream } from './client-stream.ts';
import { Continuation, type ContinuationLimits } from './continuation.ts';
import { countTokensFor } from './count-tokens.ts';
import { emptyEventsOf } from './empty-events.ts';
import { engineAnswer } from './engine/answer.ts';
import type { Notes } from './notes.ts';
import type { Asked } from './question.ts';
import type { Positions } from '../queue/queue-position.ts';
import { QueuedResponse } from './queued-response.ts';
import { QueueNews } from './queue-news.ts';
import type { Renderers } from './renderers.ts';
import { withServiceTier } from './service-tier.ts';
import { StreamReply } from './stream-reply.ts';
import { TranslatedClient } from './translated.ts';
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
interface Recipient {
  readonly client: ClientStream;
  readonly render: Renderers;
  readonly notes: Notes;
  /** fires when the client is gone; its reason is a Failure */
  readonly signal: AbortSignal;
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
  const { client, render, notes, signal } = recipient;
  const answer = engineAnswer(question.path, choices);
  const reply = new WholeReply(answer, messagesParam);
  const askedAt = clock();
  await ask(question, reply, notes.phases, signal);
  const modelMs = clock() - askedAt;
  notes.phases.firstByteAt = clock();
  notes.whole(answer.usage(reply.outline));
  const body = withServiceTier(reply.body, serviceTier);
  client.send(render.renderAnswer(body, { modelMs, ...(form === undefined ? {} : { form }) }));
}

async function deliverStream(deps: DeliverDeps, asked: Asked, recipient: Recipient): Promise<void> {
  const { ask, clock, slowClientBytes } = deps;
  const { question, choices, messagesParam, passUsage } = asked;
  const { render, notes, signal } = recipient;
  const translate = render.renderEvents?.();
  const client = translate === undefined ? recipient.client : new TranslatedClient(recipient.client, translate);
  const reply = new StreamReply(client, {
    answer: engineAnswer(question.path, choices),
    messagesParam,
    passUsage,
    continuation: new Continuation(asked, deps.continuation, countTokensFor(question, ask, signal), (outcome) =>
      notes.continuation(outcome),
    ),
    ...(render.emptyEvent === undefined
      ? { news: new QueueNews(deps.positions, asked, notes.phases, clock) }
      : { emptyEvents: emptyEventsOf(render.emptyEvent, question, notes.phases) }),
    ...(render.queuedEvents === undefined
      ? {}
      : { queued: new QueuedResponse(render.queuedEvents, question.model, notes.phases) }),
    keepAliveMs: keepAliveFor(asked, deps.keepAliveMs),
    slowClientBytes,
    clock,
    onFirstByte: () => {
      notes.phases.firstByteAt = clock();
    },
  });
  try {
    await ask(question, reply, notes.phases, signal);
    client.end();
  } catch (error) {
    if (!client.isBegun) throw error;
    const failure = toFailure(error);
    notes.broken(failure);
    // A stream that ends incomplete ends in an error event, without `[DONE]`.
    const last = render.renderStreamFailure(failure, reply.passed);
    if (render.cutsBrokenStreams === true) client.cut(last);
    else client.end(last);
  } finally {
    reply.close();
    notes.streamed(reply.bytes, reply.usage);
  }
}

/** Two comments fall into the longest silence that the client accepts, because one may be late. */
function keepAliveFor({ silenceMs }: Asked, keepAliveMs: number): number {
  if (silenceMs === undefined) return keepAliveMs;
  return Math.min(keepAliveMs, Math.max(SHORTEST_KEEP_ALIVE_MS, silenceMs / 2));
}
