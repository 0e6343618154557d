/** Every Redis key and channel of Penstock, one function each. All keys of one model share a hash tag. */

let prefix = 'penstock';
/** Sets the first part of every key, for two installations on one Redis. Once, at start, the same in all programs. */
export function useKeyPrefix(chosen: string): void {
  prefix = chosen;
}

const tag = (model: string): string => `{${prefix}:${model}}`;

export const redisKeys = {
  /** BullMQ prefix of a model's two queues, which are named `text` and `image` */
  queuePrefix: (model: string): string => tag(model),
  /** the engine's request body, until the request ends */
  body: (model: string, requestId: string): string => `${tag(model)}:body:${requestId}`,
  /** sorted set: waiting requests `<request id>:<bytes>` by the Redis time, in ms, at which they lapse */
  reservations: (model: string): string => `${tag(model)}:reservations`,
  /** bytes of all waiting bodies */
  reservedBytes: (model: string): string => `${tag(model)}:reserved-bytes`,
  /** sorted set like `reservations`, for one caller's key that has caps */
  reservationsOf: (model: string, keyId: string): string => `${tag(model)}:reservations:${keyId}`,
  /** hash: how far each caller's key has used one of a model's queues */
  shares: (model: string, kind: string): string => `${tag(model)}:shares:${kind}`,
  /** how fast one of a model's queues is drained, measured */
  pace: (model: string, kind: string): string => `${tag(model)}:pace:${kind}`,
  /** sorted set: places that refused requests have for their next try, by the Redis time, in ms, at which they lapse */
  bookings: (model: string, kind: string): string => `${tag(model)}:bookings:${kind}`,
  /** sorted set: the same places by the fingerprint of the request */
  booked: (model: string, kind: string): string => `${tag(model)}:booked:${kind}`,
  /** hash: which attempts of a request are in the usage */
  usageNotes: (model: string, requestId: string): string => `${tag(model)}:usage-notes:${requestId}`,
  /** hash: what a caller's key used of a model on one day, such as `2026-11-30` */
  usage: (model: string, day: string, keyId: string): string => `${tag(model)}:usage:${day}:${keyId}`,
  /** set: ids of the keys with such a hash */
  usageKeys: (model: string, day: string): string => `${tag(model)}:usage:${day}`,
  /** set: all models that were ever served */
  usageModels: (): string => `${prefix}:usage-models`,
  /** counter of one limit of a caller's key in its present minute, followed by the id of the key */
  limitPrefix: (limit: string): string => `${prefix}:limit:${limit}`,
  /** hash: tokens that a caller's key used today, and the estimates of its running requests */
  dayBudget: (keyId: string): string => `${prefix}:limit:tokens_per_day:${keyId}`,
  /** hash: how busy the emptiest engine of each dispatcher is, in one of a model's queues */
  loads: (model: string, kind: string): string => `${tag(model)}:loads:${kind}`,
  /** hash: a request that carries an idempotency key, by the hash of caller, route and key */
  once: (hash: string): string => `${prefix}:once:${hash}`,
  /** the answer of such a request, by its owner; in the second Redis if there is one */
  onceAnswer: (owner: string): string => `${prefix}:once-answer:${owner}`,
  /** hash: the record of a durable answer, see `answer-log.ts` */
  answer: (model: string, id: string): string => `${tag(model)}:answer:${id}`,
  /** stream: the log of a durable answer */
  answerLog: (model: string, id: string): string => `${tag(model)}:answer-log:${id}`,
  /** what a kept response was asked, as JSON */
  answerInput: (model: string, id: string): string => `${tag(model)}:answer-input:${id}`,
  /** what a kept response says */
  answerSaid: (model: string, id: string): string => `${tag(model)}:answer-said:${id}`,
  /** an item of an answer that later requests may name, by the hash of caller and item */
  item: (model: string, hash: string): string => `${tag(model)}:item:${hash}`,
  /** sorted set and hash: the bytes of these items */
  itemLapses: (model: string): string => `${tag(model)}:item-lapses`,
  itemSizes: (model: string): string => `${tag(model)}:item-sizes`,
  /** the same log, packed, once the answer is over */
  answerArchive: (model: string, id: string): string => `${tag(model)}:answer-archive:${id}`,
  /** sorted set: replicas with readers of a durable answer, by the Redis time, in ms, until which they have some */
  answerReaders: (model: string, id: string): string => `${tag(model)}:answer-readers:${id}`,
  /** sorted set and hash: what durable answers keep in Redis, in bytes */
  keptLapses: (model: string): string => `${tag(model)}:kept-lapses`,
  keptSizes: (model: string): string => `${tag(model)}:kept-sizes`,
  /** sorted set: ids of durable answers that are not over, by the Redis time, in ms, at which their owner's lease lapses */
  openAnswers: (model: string): string => `${tag(model)}:open-answers`,
  /** reply streams of gateways for the durable answers of a model, followed by the replica */
  ownersPrefix: (model: string): string => `${tag(model)}:owner:`,
  /** sorted set: webhook events that are in no queue yet, by the Redis time, in ms, of their answer's end */
  webhooksDue: (model: string): string => `${tag(model)}:webhooks-due`,
  /** BullMQ prefix of the queue of webhook events of all models */
  webhooksPrefix: (): string => tag('webhooks'),
  /** sorted set: ids of a key's webhook events that wait, by the Redis time, in ms, from which they may be taken */
  webhooksWaiting: (keyId: string): string => `${tag('webhooks')}:waiting:${keyId}`,
  /** set: ids of the keys with such events */
  webhooksWaitingKeys: (): string => `${tag('webhooks')}:waiting-keys`,
  /** a reply stream of a gateway replica, see `replyAddress`; its existence is the replica's lease */
  replies: (address: string): string => `${prefix}:replies:${address}`,
  /** registry of a model: names of its dispatchers by the time of their last report */
  workersOf: (model: string): string => `${tag(model)}:workers`,
  /** registry: what one dispatcher reports, as JSON */
  workerOf: (model: string, dispatcher: string): string => `${tag(model)}:worker:${dispatcher}`,
  /** the registry of release 0.2 and before, one for all models */
  workers: (): string => `${prefix}:workers`,
  worker: (incarnation: string): string => `${prefix}:worker:${incarnation}`,
  /** the secret in the engines' cache salts, if no setting gives one */
  cacheSaltSecret: (): string => `${prefix}:cache-salt-secret`,
  /** written after what the replicas of Redis must confirm of a model */
  replicated: (model: string, mark: string): string => `${tag(model)}:replicated:${mark}`,
  /** set: engines that died while they ran a request, by its hash */
  deaths: (hash: string): string => `${prefix}:dead-engines:${hash}`,
  /** sorted set: hashes of requests that are refused because engines died while they ran them */
  quarantine: (): string => `${prefix}:quarantine`,
  /** Pub/Sub channel to one dispatcher */
  control: (incarnation: string): string => `${prefix}:control:${incarnation}`,
} as const;

/** The replica's reply stream lapses this long after its last refresh, in milliseconds. */
export const LEASE_MS = 15_000;
export const LEASE_REFRESH_MS = 3_000;
