import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from '@jest/globals';
import express, { type Response as ServerResponse } from 'express';
import { isFailure, type Failure } from '#contract/failure';
import { ByteBudget } from '../../gateway/byte-budget.ts';
import { StreamReply } from '../../gateway/http/stream-reply.ts';
import { answerForm } from '../../gateway/relay/answer-form.ts';
import { SentBytes } from '../../gateway/relay/sent-bytes.ts';

const event = (choice: object): string =>
  `data: ${JSON.stringify({ id: 'c', created: 1, model: 'm', choices: [{ index: 0, ...choice }] })}\n\n`;
const ROLE = event({ delta: { role: 'assistant', content: '' }, finish_reason: null });
const token = (text: string): string => event({ delta: { content: text }, finish_reason: null });
const failed = (code: number, message: string): string => `data: ${JSON.stringify({ error: { message, code } })}\n\n`;
const DYING = failed(500, 'EngineCore encountered an issue. See stack trace (above) for the root cause.');
const REQUEST = Buffer.from(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], max_tokens: 9 }));

/** Lets `drive` write a reply to a real client. @returns what the client read */
async function toClient(drive: (reply: StreamReply, res: ServerResponse) => void): Promise<string> {
  const app = express();
  app.get('/', (_req, res) => {
    const reply = new StreamReply(res, {
      form: answerForm('/v1/chat/completions'),
      messagesParam: 'messages',
      passUsage: false,
      model: 'm',
      sent: new SentBytes(new ByteBudget(1_000_000), 100_000),
      onContinuation: () => {},
      keepAliveMs: 60_000,
      slowClientBytes: 1_000_000,
      clock: () => performance.now(),
      onFirstByte: () => {},
    });
    drive(reply, res);
    reply.close();
    res.end();
  });
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  try {
    return await (await fetch(`http://127.0.0.1:${String(port)}/`)).text();
  } finally {
    server.close();
  }
}
const life = (reply: StreamReply, ...events: string[]): Failure | undefined => {
  reply.head({ status: 200, contentType: 'text/event-stream' });
  const said = events.map((bytes) => reply.data(Buffer.from(bytes))).find(isFailure);
  return said ?? reply.end();
};

test('a stream that is sent on to an engine that is just dying goes on at a third one', async () => {
  const outcomes: string[] = [];
  const text = await toClient((reply) => {
    for (const events of [[ROLE, token('one'), DYING], [DYING]]) {
      expect(life(reply, ...events)).toMatchObject({ code: 'worker_lost' });
      outcomes.push(reply.resume(REQUEST).kind);
    }
    expect(life(reply, ROLE, token(' two'), 'data: [DONE]\n\n')).toBeUndefined();
  });
  expect(outcomes).toEqual(['continue', 'continue']);
  expect([...text.matchAll(/"content":"([^"]*)"/g)].map(([, content]) => content)).toEqual(['', 'one', ' two']);
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
});

test('a request that the engine refuses after its stream began: its own status and sentence, no byte sent', async () => {
  const text = await toClient((reply, res) => {
    const refused = life(reply, failed(400, 'no such token'), 'data: [DONE]\n\n');
    expect(refused).toMatchObject({ code: 'engine_refused', status: 400, message: 'no such token' });
    expect(res.headersSent).toBe(false);
  });
  expect(text).toBe('');
});
