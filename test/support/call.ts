import { request, type IncomingHttpHeaders } from 'node:http';

/** The result of a call, however it ended. */
export interface Outcome {
  /** 0 if no status arrived */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** each piece of the body with the milliseconds since the call began */
  readonly pieces: readonly { readonly atMs: number; readonly text: string }[];
  /** the body is complete according to HTTP */
  readonly isWhole: boolean;
  readonly tookMs: number;
}
export const WAYS_TO_LEAVE = ['close', 'half-close', 'reset'] as const;
export type WayToLeave = (typeof WAYS_TO_LEAVE)[number];

export interface Call {
  /** resolves, never rejects */
  readonly ended: Promise<Outcome>;
  /** resolves with the first piece of the body, or at its end */
  readonly begun: Promise<void>;
  /** the body so far */
  text(): string;
  /** Leaves: by closing, by sending FIN alone, or by RST. @returns the instant (`performance.now()`) */
  leave(how: WayToLeave): number;
}

/** One POST on its own connection; this client has no timeout. */
export function call(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Call {
  const startedAt = performance.now();
  const pieces: { atMs: number; text: string }[] = [];
  const text = (): string => pieces.map((piece) => piece.text).join('');
  const seen: { status: number; headers: IncomingHttpHeaders; isWhole: boolean } = {
    status: 0,
    headers: {},
    isWhole: false,
  };
  const sent = request(url, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', ...headers },
  });
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const ended = new Promise<Outcome>((resolve) => {
    const end = (): void => {
      resolve({ ...seen, body: text(), pieces, tookMs: performance.now() - startedAt });
    };
    sent.on('response', (res) => {
      seen.status = res.statusCode ?? 0;
      seen.headers = res.headers;
      res.setEncoding('utf8');
      res.on('data', (text: string) => {
        pieces.push({ atMs: performance.now() - startedAt, text });
        begin();
      });
      res.on('error', () => {});
      res.on('close', () => {
        seen.isWhole = res.complete;
        end();
      });
    });
    sent.on('error', end);
  });
  void ended.then(begin);
  sent.end(JSON.stringify(body));
  return {
    ended,
    begun,
    text,
    leave: (how) => {
      const { socket } = sent;
      const at = performance.now();
      if (how === 'half-close') socket?.end();
      else if (how === 'reset') socket?.resetAndDestroy();
      else socket?.destroy();
      return at;
    },
  };
}
