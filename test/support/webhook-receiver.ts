import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { z } from 'zod';
import { freePort } from '#runtime/free-port';

const Event = z.strictObject({
  object: z.literal('event'),
  id: z.string(),
  type: z.string(),
  created_at: z.int(),
  data: z.strictObject({ id: z.string() }),
});

/** One delivery as it arrived. */
export interface Delivered {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly event: z.infer<typeof Event>;
}
/** What a receiver answers: a status, a redirect, or nothing. */
type Reply = number | { readonly location: string } | 'silence';

export interface Receiver extends AsyncDisposable {
  readonly port: number;
  /** in the order of their arrival */
  readonly got: Delivered[];
  /** decides about the deliveries from now on */
  reply: (delivered: Delivered) => Reply;
  /** most deliveries at a time that got no answer, since `reset` */
  readonly silent: { readonly peak: number; reset(): void };
  of(answer: string): Delivered[];
  /** Refuses connections until `open`. */
  shut(): Promise<void>;
  open(): Promise<void>;
}

/** A receiver of webhook events on all loopback addresses, which takes everything unless a test says otherwise. */
export async function startReceiver(): Promise<Receiver> {
  let server: Server | undefined;
  const silent = {
    now: 0,
    peak: 0,
    reset: (): void => {
      silent.peak = 0;
    },
  };
  const shut = async (): Promise<void> => {
    if (server?.listening !== true) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  const receiver: Receiver = {
    port: await freePort(),
    got: [],
    silent,
    reply: () => 200,
    of: (answer) => receiver.got.filter(({ event }) => event.data.id === answer),
    shut,
    open: async () => {
      server = createServer((req, res) => {
        let body = '';
        req.setEncoding('utf8').on('data', (text: string) => (body += text));
        req.on('end', () => {
          const { url: path = '', headers } = req;
          const delivered = { path, headers, body, event: Event.parse(JSON.parse(body)) };
          receiver.got.push(delivered);
          const reply = receiver.reply(delivered);
          if (typeof reply === 'object') res.writeHead(302, { location: reply.location }).end();
          else if (reply !== 'silence') res.writeHead(reply).end('x'.repeat(100));
          else {
            silent.now += 1;
            silent.peak = Math.max(silent.peak, silent.now);
            res.once('close', () => (silent.now -= 1));
          }
        });
      });
      server.listen(receiver.port, '0.0.0.0');
      await once(server, 'listening');
    },
    [Symbol.asyncDispose]: shut,
  };
  await receiver.open();
  return receiver;
}
