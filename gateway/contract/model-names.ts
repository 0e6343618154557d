/**
 * Names in Redis that end in a model. A user of Redis that serves one model has rights for such names alone, so no worker of
 * another model can use them. No model has `:` or `@` in its name, and no incarnation.
 */

/** A replica's reply stream for one model, as jobs name it. All streams of a replica are in one slot of a Redis Cluster. */
export function replyAddress(replica: string, model: string): string {
  return `{${replica}}:${model}`;
}

/**
 * The name of a dispatcher: it is part of its control channel, and of the stamp of each entry that it writes. Gateways of
 * release 0.1 cannot read a stamp with a second colon.
 */
export function dispatcherName(incarnation: string, model: string): string {
  return `${incarnation}@${model}`;
}

/** Whether a dispatcher may speak for a model. Those of release 0.2 and before name none, and may speak for each. */
export function speaksFor(dispatcher: string, model: string): boolean {
  const at = dispatcher.indexOf('@');
  return at < 0 || dispatcher.slice(at + 1) === model;
}
