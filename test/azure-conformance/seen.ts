import type { IncomingHttpHeaders } from 'node:http';

/** The answer, however it ended. */
export interface Seen {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** the body is complete according to HTTP */
  readonly isWhole: boolean;
}
