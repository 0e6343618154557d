/** A request as the page sent it. */
export interface Sent {
  readonly path: string;
  readonly key: string | null;
  readonly body: string;
  readonly signal: AbortSignal | undefined;
}

/** Answers the page's requests in the place of a gateway; restored with its scope. */
export function fakeFetch(answer: (sent: Sent) => Response | Promise<Response>): Disposable & { sent: Sent[] } {
  const real = globalThis.fetch;
  const sent: Sent[] = [];
  globalThis.fetch = async (input, init) => {
    init?.signal?.throwIfAborted();
    const path = typeof input === 'string' ? input : '';
    const body = typeof init?.body === 'string' ? init.body : '';
    const one = { path, key: new Headers(init?.headers).get('authorization'), body, signal: init?.signal ?? undefined };
    sent.push(one);
    return answer(one);
  };
  return {
    sent,
    [Symbol.dispose]: () => {
      globalThis.fetch = real;
    },
  };
}

/** A response whose body comes in these pieces. @param end what comes then: an end, a broken connection, or nothing until `signal` */
export function streamed(pieces: readonly string[], end: 'close' | 'break' | AbortSignal = 'close'): Response {
  const left = [...pieces];
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      if (typeof end !== 'string') end.addEventListener('abort', () => controller.error(new Error('left')));
    },
    pull(controller) {
      const piece = left.shift();
      if (piece !== undefined) controller.enqueue(new TextEncoder().encode(piece));
      else if (end === 'break') controller.error(new Error('reset'));
      else if (end === 'close') controller.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
}

export function refused(status: number, code: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error: { message: `it is ${code}`, type: 't', param: null, code } }, { status, headers });
}
