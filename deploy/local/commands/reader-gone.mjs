// @ts-check

/**
 * Aborts when the reader of standard output has closed it, as `| head` does. A command that would go on printing ends then.
 * @returns {AbortSignal}
 */
export function readerGone() {
  const gone = new AbortController();
  process.stdout.once('error', () => gone.abort());
  return gone.signal;
}
