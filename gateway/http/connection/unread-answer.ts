import type { ServerResponse } from 'node:http';

/**
 * An ended answer whose client reads no more would stay, with its connection, for ever.
 * @param limitMs how long it may take to be read once it was ended, in milliseconds
 */
export function cutUnread(res: ServerResponse, limitMs: () => number): void {
  let unread: NodeJS.Timeout | undefined;
  res.once('prefinish', () => {
    unread = setTimeout(() => res.destroy(), limitMs()).unref();
  });
  res.once('close', () => clearTimeout(unread));
}
