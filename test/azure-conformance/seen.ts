import type { IncomingHttpHeaders } from 'node:http';

/** What came back, however it ended. */
export interface Seen {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** the body came to the end that HTTP promises */
  readonly isWhole: boolean;
}
