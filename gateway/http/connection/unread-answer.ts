import type { ServerResponse } from 'node:http';

/**
 * Cuts a connection whose client does not read its ended answer; otherwise it would stay for ever.
 * @param limitMs how long reading it may take after its end, in milliseconds
 */
export function cutUnread(res: ServerResponse, limitMs: () => number): void {
  let unread: NodeJS.Timeout | undefined;
  res.once('prefinish', () => {
    unread = setTimeout(() => res.destroy(), limitMs()).unref();
  });
  res.once('close', () => clearTimeout(unread));
}
