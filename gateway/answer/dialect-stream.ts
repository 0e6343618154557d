import type { Clock } from '#runtime/clock';
import type { EnginePath } from '#contract/job';
import type { Failure } from '../failure.ts';
import type { StreamIdentity } from '../request/chat.ts';
import type { ClientStream } from './client-stream.ts';
import { EmptyEvents } from './empty-events.ts';
import { engineAnswer } from './engine/answer.ts';
import type { QueuedResponse } from './queued-response.ts';
import type { QueueNews } from './queue-news.ts';
import type { Renderers } from './renderers.ts';
import { StreamReply, type StreamReplyOptions } from './stream-reply.ts';
import { TranslatedClient } from './translated.ts';

/** The facts about a request that decide which events its caller gets. */
export interface StreamFacts {
  readonly path: EnginePath;
  readonly choices: number;
  readonly messagesParam: string;
  readonly passUsage: boolean;
}

/** Limits that all streams have. */
export interface StreamLimits extends Pick<StreamReplyOptions, 'keepAliveMs' | 'slowClientBytes'> {
  readonly clock: Clock;
}

/** What only some streams have. */
export interface StreamExtras {
  readonly news?: QueueNews;
  readonly queued?: QueuedResponse;
  /** identity of the events that replace comments, if the API needs such events @param isFixed all events have it */
  readonly identity: () => StreamIdentity;
  readonly isFixed?: boolean;
  /** changes the client's events last */
  readonly number?: (events: Buffer | string) => string;
  readonly onFirstByte?: () => void;
  /** holds events back, in the engine's form, before they are translated */
  readonly hold?: (client: ClientStream) => ClientStream;
}

/** A stream in the form of its caller's API. */
export class DialectStream {
  readonly reply: StreamReply;
  readonly client: ClientStream;
  readonly #render: Renderers;

  constructor(
    client: ClientStream,
    render: Renderers,
    { path, choices, messagesParam, passUsage }: StreamFacts,
    continuation: StreamReplyOptions['continuation'],
    { news, queued, identity, isFixed, number, hold, onFirstByte = () => {}, ...limits }: StreamExtras & StreamLimits,
  ) {
    const numbered = number === undefined ? client : new TranslatedClient(client, number);
    const translate = render.renderEvents?.();
    this.client = translate === undefined ? numbered : new TranslatedClient(numbered, translate);
    this.#render = render;
    const waiting =
      render.emptyEvent === undefined
        ? news === undefined
          ? {}
          : { news }
        : { emptyEvents: new EmptyEvents(render.emptyEvent, identity, isFixed) };
    this.reply = new StreamReply(hold?.(this.client) ?? this.client, {
      answer: engineAnswer(path, choices),
      messagesParam,
      passUsage,
      continuation,
      ...waiting,
      ...(queued === undefined ? {} : { queued }),
      onFirstByte,
      ...limits,
    });
  }

  /** The stream ends incomplete: in an error event, without `[DONE]`. Its client has a part of it. */
  breakOff(failure: Failure): void {
    const last = this.#render.renderStreamFailure(failure, this.reply.passed);
    if (this.#render.cutsBrokenStreams === true) this.client.cut(last);
    else this.client.end(last);
  }
}
