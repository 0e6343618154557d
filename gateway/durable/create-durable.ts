import { ownerName } from '#contract/answer-log';
import type { Catalog } from '#contract/model-card';
import { specialTokenPattern } from '#contract/special-tokens';
import { followConnection, type RedisClient } from '#runtime/redis-client';
import { AnswerStore } from './answer-store.ts';
import { ConversationStore } from './conversation-store.ts';
import { DurableAnswers, type DurableDeps } from './durable-answers.ts';
import { DurablePosts, type PostDeps } from './durable-posts.ts';
import { Items } from './items.ts';
import { KeptAnswers, type KeptDeps } from './kept-answers.ts';
import { LastingEnds } from './lasting-ends.ts';
import { LogTail } from './log-tail.ts';
import { OwnerRelay, type OwnerRelayDeps } from './owner-relay.ts';
import { OwnerStream, type OwnerReader } from './owner-stream.ts';
import { Replicas } from './replicas.ts';
import type { Relay } from '../relay/relay.ts';
import { Webhooks, type WebhooksDeps } from '../webhooks/webhooks.ts';

type Given = Omit<DurableDeps, 'store' | 'items' | 'ends' | 'relay' | 'specialTokens' | 'ask'> &
  Omit<KeptDeps, 'answers' | 'store' | 'ends' | 'conversations' | 'items' | 'tail' | 'hasWebhook' | 'replicas'> &
  WebhooksDeps &
  Omit<PostDeps, 'answers' | 'store' | 'ends' | 'tail'> & {
    /** for reading that blocks */
    readonly owners: readonly OwnerReader[];
    /** for waiting for replicas, which blocks */
    readonly confirm: RedisClient;
    readonly catalog: Catalog;
    readonly replica: string;
    readonly relay: Pick<Relay, 'passLogged'>;
    readonly askDeps: DurableDeps['ask'];
    readonly itemsTtlMs: number;
  };

export interface Durable {
  readonly kept: KeptAnswers;
  readonly posts: DurablePosts;
  readonly webhooks: Webhooks;
  /** Begins to read, renew and adopt. @throws if Redis does not answer */
  follow(): Promise<void>;
  /** Gives answers to other gateways; `isLast`: those too whose clients wait here. */
  handOver(isLast: boolean): Promise<void>;
  unfollow(): Promise<void>;
}

/** Wires the parts of durable answers. */
export function createDurable(given: Given): Durable {
  const { queue, owners, confirm, catalog, models, replica, registry, clock, log } = given;
  const name = ownerName(replica);
  const store = new AnswerStore(queue, name);
  const conversations = new ConversationStore(queue, models);
  const items = new Items(conversations, models, given.itemsTtlMs);
  const ends = new LastingEnds({ store, items, form: given.form, clock, log });
  const isAlive: OwnerRelayDeps['isAlive'] = (dispatcher) =>
    registry.workers.some(({ incarnation }) => incarnation === dispatcher);
  const relay = new OwnerRelay({ store, isAlive, clock, log });
  const webhooks = new Webhooks(given);
  const answers = new DurableAnswers({
    ...given,
    onEnd: (state) => {
      given.onEnd(state);
      webhooks.look();
    },
    store,
    items,
    ends,
    relay,
    ask: given.askDeps,
    specialTokens: (model) => specialTokenPattern(catalog.find(model)?.tokens.special.texts ?? []),
  });
  const stream = new OwnerStream(
    { readers: owners, commands: queue, owner: name, log },
    {
      entry: (answer, entry, dispatcher) => relay.take(answer, entry, dispatcher),
      cancelled: (answer) => answers.cancelled(answer),
      // If Redis is away, the next renewal answers.
      asked: (id) => void answers.leases.answer(id).catch(() => {}),
      missed: () => relay.catchUp(),
    },
  );
  given.relay.passLogged((model, dispatcher, frame) => relay.takeCopy(model, frame, dispatcher));
  const replicas = new Replicas(queue, confirm, models);
  const parts = { answers, store, ends, conversations, items, tail: new LogTail(queue, log) };
  return {
    kept: new KeptAnswers({ ...given, ...parts, replicas, hasWebhook: (keyId) => webhooks.isSet(keyId) }),
    posts: new DurablePosts({ ...given, ...parts }),
    webhooks,
    follow: async () => {
      await replicas.start();
      await stream.start();
      answers.start();
      webhooks.start();
      followConnection(queue, () => {
        answers.restore();
        // If Redis is lost again, the next connection reads.
        stream.again().catch(() => {});
      });
    },
    handOver: (isLast) => (isLast ? answers.close() : answers.stop()),
    unfollow: async () => {
      relay.stop();
      await Promise.all([stream.stop(), webhooks.stop()]);
    },
  };
}
