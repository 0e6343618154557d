import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from '@jest/globals';
import express, { type Response as ServerResponse } from 'express';
import { isFailure, type Failure } from '../../gateway/failure.ts';
import { ByteBudget } from '../../gateway/answer/byte-budget.ts';
import { StreamReply } from '../../gateway/answer/stream-reply.ts';
import { engineAnswer } from '../../gateway/answer/engine/answer.ts';
import { Continuation } from '../../gateway/answer/continuation.ts';
import { HttpClientStream } from '../../gateway/http/client-stream.ts';

const event = (choice: object): string =>
  `data: ${JSON.stringify({ id: 'c', created: 1, model: 'm', choices: [{ index: 0, ...choice }] })}\n\n`;
const ROLE = event({ delta: { role: 'assistant', content: '' }, finish_reason: null });
const token = (text: string): string => event({ delta: { content: text }, finish_reason: null });
const LAST = event({ delta: {}, finish_reason: 'stop' });
const failed = (code: number, message: string): string => `data: ${JSON.stringify({ error: { message, code } })}\n\n`;
const DYING = failed(500, 'EngineCore encountered an issue. See stack trace (above) for the root cause.');
const REQUEST = Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hi' }], max_tokens: 9 }));

const ASKED = {
  question: { path: '/v1/chat/completions', model: 'm' },
  specialTokens: /<\|/gu,
  never: undefined,
} as const;

/** Lets `drive` write a reply to a real client. @returns what the client read */
async function toClient(drive: (reply: StreamReply, res: ServerResponse) => Promise<void> | void): Promise<string> {
  const app = express();
  app.get('/', async (_req, res) => {
    const limits = { budget: new ByteBudget(1_000_000), streamBytes: 100_000 };
    const uncounted = (): Promise<undefined> => Promise.resolve(undefined);
    const reply = new StreamReply(new HttpClientStream(res, { requestId: '', repeats: 0 }), {
      answer: engineAnswer('/v1/chat/completions', 1),
      messagesParam: 'messages',
      passUsage: false,
      continuation: new Continuation(ASKED, limits, uncounted, () => {}),
      keepAliveMs: 60_000,
      slowClientBytes: 1_000_000,
      clock: () => performance.now(),
      onFirstByte: () => {},
    });
    await drive(reply, res);
    reply.close();
    res.end();
  });
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  try {
    return await (await fetch(`http://127.0.0.1:${port}/`)).text();
  } finally {
    server.close();
  }
}
const attempt = (reply: StreamReply, ...events: string[]): Failure | undefined => {
  reply.head({ status: 200, contentType: 'text/event-stream' });
  const said = events.map((bytes) => reply.data(Buffer.from(bytes))).find(isFailure);
  return said ?? reply.end();
};

test('a stream whose second engine is just exiting continues on a third one', async () => {
  const bodies: Buffer[] = [REQUEST];
  const text = await toClient(async (reply) => {
    for (const events of [[ROLE, token('one'), DYING], [DYING]]) {
      expect(attempt(reply, ...events)).toMatchObject({ code: 'worker_lost' });
      const before = bodies.at(-1) ?? REQUEST;
      const resume = await reply.resume(before);
      bodies.push(resume.kind === 'ask' ? resume.body : before);
    }
    expect(attempt(reply, ROLE, token(' two'), LAST, 'data: [DONE]\n\n')).toBeUndefined();
  });
  const asked = bodies.map((body) => JSON.parse(body.toString()) as { messages: unknown[]; max_tokens: number });
  expect(asked[1]).toMatchObject({ messages: [{}, { role: 'assistant', content: 'one' }], max_tokens: 8 });
  expect(asked[2]).toEqual(asked[1]);
  expect([...text.matchAll(/"content":"([^"]*)"/g)].map(([, content]) => content)).toEqual(['', 'one', ' two']);
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
});

const OUT_OF_VOCABULARY =
  'token_id(s) [99999] in logit_bias contain out-of-vocab token ids. Vocabulary size: 32064 (parameter=logit_bias, value=[99999])';

test('a request that the engine refuses after its stream began: its own status and sentence, no byte sent', async () => {
  const text = await toClient((reply, res) => {
    const refused = attempt(reply, failed(400, OUT_OF_VOCABULARY), 'data: [DONE]\n\n');
    expect(refused).toMatchObject({ code: 'engine_refused', status: 400, message: OUT_OF_VOCABULARY });
    expect(res.headersSent).toBe(false);
  });
  expect(text).toBe('');
});
