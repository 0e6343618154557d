import type { Rendered } from './renderers.ts';

/** The receiver of an answer: a socket, or anything else that takes one. */
export interface ClientStream {
  /** it has a part of the answer, so no other answer can be sent */
  readonly isBegun: boolean;
  /** the client has disconnected */
  readonly isGone: boolean;
  /** bytes that were written to it and that it has not read */
  readonly unsentBytes: number;
  /** when it got something last (clock of this process, ms), if it gets events later than they are written */
  readonly lastWroteAt?: number;
  /** Writes an answer that is not streamed. */
  send(answer: Rendered): void;
  /** Writes a piece of a stream. */
  write(piece: Buffer | string): void;
  /** Ends a stream. @param last piece */
  end(last?: string): void;
  /** Ends a stream by closing its connection. @param last last piece, which the client gets time to read */
  cut(last: string): void;
  /** It does not read: from now on it counts as gone. */
  giveUp(): void;
}
