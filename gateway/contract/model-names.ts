/**
 * Names in Redis that end in a model. A user of Redis that serves one model has rights for such names alone, so no worker of
 * another model can use them. Neither models nor incarnations contain a colon.
 */

/** A replica's reply stream for one model, as jobs name it. All streams of a replica are in one slot of a Redis Cluster. */
export function replyAddress(replica: string, model: string): string {
  return `{${replica}}:${model}`;
}

/** The name of a dispatcher: it is part of its control channel, and of the stamp of each entry that it writes. */
export function dispatcherName(incarnation: string, model: string): string {
  return `${incarnation}:${model}`;
}

/** Whether a dispatcher may speak for a model. Those of release 0.2 and before name none, and may speak for each. */
export function speaksFor(dispatcher: string, model: string): boolean {
  const colon = dispatcher.indexOf(':');
  return colon < 0 || dispatcher.slice(colon + 1) === model;
}
