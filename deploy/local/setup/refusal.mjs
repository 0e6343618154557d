// @ts-check

/** What the person at the terminal is told in one sentence; anything else that is thrown is a fault of ours. */
export class Refusal extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options);
    this.name = 'Refusal';
  }
}

/**
 * The reason of anything thrown. Errors of Node are told by their `code`, which says more than an empty message.
 * @param {unknown} error
 */
export function reasonOf(error) {
  if (typeof error !== 'object' || error === null) return String(error);
  const { message, code } = /** @type {{ message?: unknown, code?: unknown }} */ (error);
  return typeof message === 'string' && message !== '' ? message : String(code ?? error);
}
