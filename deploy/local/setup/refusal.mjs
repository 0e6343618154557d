// @ts-check

/** A problem that the user can fix, in one sentence for the terminal; any other thrown error is a bug of ours. */
export class Refusal extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options);
    this.name = 'Refusal';
  }
}

/**
 * The reason of anything thrown: its message, or the `code` if the message is empty, as some errors of Node have it.
 * @param {unknown} error
 */
export function reasonOf(error) {
  if (typeof error !== 'object' || error === null) return String(error);
  const { message, code } = /** @type {{ message?: unknown, code?: unknown }} */ (error);
  return typeof message === 'string' && message !== '' ? message : String(code ?? error);
}
