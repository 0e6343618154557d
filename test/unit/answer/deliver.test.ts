import { once, EventEmitter } from 'node:events';
import { expect, test } from '@jest/globals';
import type { Ask } from '../../../gateway/answer/ask.ts';
import { ByteBudget } from '../../../gateway/answer/byte-budget.ts';
import type { ClientStream } from '../../../gateway/answer/client-stream.ts';
import { createDeliver } from '../../../gateway/answer/deliver.ts';
import type { Notes } from '../../../gateway/answer/notes.ts';
import type { Asked } from '../../../gateway/answer/question.ts';
import type { Reply } from '../../../gateway/answer/reply.ts';
import { Failure } from '../../../gateway/failure.ts';
import { HeldBody } from '../../../gateway/queue/held-body.ts';

const event = (choice: object): string =>
  `data: ${JSON.stringify({ id: 'c', created: 1, model: 'm', choices: [{ index: 0, ...choice }] })}\n\n`;
const ONE = event({ delta: { content: 'one' }, finish_reason: null });
const LAST = event({ delta: {}, finish_reason: 'stop' });
const USAGE = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } })}\n\n`;
const DONE = 'data: [DONE]\n\n';
const WHOLE = JSON.stringify({
  choices: [{ index: 0, message: { content: 'one' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 2 },
});

/** A client without a socket: a list of what it receives. */
class Memory extends EventEmitter implements ClientStream {
  readonly got: string[] = [];
  isGone = false;
  unsentBytes = 0;

  get isBegun(): boolean {
    return this.got.length > 0;
  }
  send({ status, body }: { status: number; body: string | Buffer }): void {
    this.got.push(`${status} ${body.toString()}`);
  }
  write(piece: Buffer | string): void {
    this.got.push(piece.toString());
  }
  end(last = ''): void {
    this.got.push(`${last}<end>`);
  }
  cut(last: string): void {
    this.got.push(`${last}<cut>`);
  }
  giveUp(): void {
    this.isGone = true;
    this.emit('gone');
  }
}

const asked = (stream: boolean): Asked => ({
  question: {
    model: 'm',
    kind: 'text',
    path: '/v1/chat/completions',
    body: new HeldBody([Buffer.from('{}')]),
    keyId: 'k',
    share: { cost: 1, weight: 1, caps: {}, class: 'default', isOneOfMany: true },
    isRetry: false,
    deadlineMs: 1_000,
    deadlineAt: 1_000,
  },
  stream,
  silenceMs: undefined,
  wantsProgress: false,
  passUsage: false,
  choices: 1,
  messagesParam: 'messages',
  form: undefined,
  longestAnswer: 1,
  serviceTier: undefined,
  specialTokens: /never/u,
  never: 'tools',
});

/** @param drive the events of the request's attempts */
function deliver(drive: (reply: Reply, client: Memory) => void | Promise<void>, stream: boolean, cuts = false) {
  const client = new Memory();
  const noted: unknown[] = [];
  const notes: Notes = {
    phases: { requestId: '', repeats: 0 },
    continuation: (outcome) => void noted.push(['continuation', outcome]),
    broken: ({ code }) => void noted.push(['broken', code]),
    whole: (usage) => void noted.push(['whole', usage]),
    streamed: (bytes, usage) => void noted.push(['streamed', bytes, usage]),
  };
  const ask: Ask = async (_question, reply) => {
    reply.head({ status: 200, contentType: 'x' });
    await drive(reply, client);
    const failure = reply.end();
    if (failure !== undefined) throw failure;
  };
  const limits = { budget: new ByteBudget(1_000_000), streamBytes: 100_000 };
  let now = 0;
  const clock = (): number => (now += 1);
  const positions = { follow: () => () => {} };
  const deps = { ask, positions, clock, keepAliveMs: 60_000, slowClientBytes: 100, continuation: limits };
  const render = {
    renderAnswer: (body: Buffer) => ({ status: 201, headers: {}, body }),
    renderStreamFailure: ({ code }: Failure) => `failed: ${code}`,
    cutsBrokenStreams: cuts,
  };
  const ended = createDeliver(deps)(asked(stream), { client, render, notes, signal: new AbortController().signal });
  return { client, noted, notes, ended };
}
const usage = { promptTokens: 3, completionTokens: 2 };

test('a complete answer reaches a client without a socket, once, in the form of its API', async () => {
  const { client, noted, notes, ended } = deliver((reply) => void reply.data(Buffer.from(WHOLE)), false);
  await ended;
  expect(client.got).toEqual([`201 ${WHOLE}`]);
  expect(noted).toEqual([['whole', usage]]);
  expect(notes.phases.firstByteAt).toBeGreaterThan(0);
});

test('each piece of a stream is written once, on arrival, and its usage is recorded although the client did not request it', async () => {
  const pieces = [ONE, LAST, USAGE, DONE];
  const { client, noted, ended } = deliver((reply) => {
    for (const piece of pieces) expect(reply.data(Buffer.from(piece))).toBeUndefined();
  }, true);
  await ended;
  expect(client.got).toEqual([ONE, LAST, DONE, '<end>']);
  expect(noted).toEqual([['streamed', ONE.length + LAST.length + DONE.length, usage]]);
});

test.each([
  [false, '<end>'],
  [true, '<cut>'],
])('a stream that breaks off ends with an error event (cuts: %s)', async (cuts, mark) => {
  const { client, noted, ended } = deliver((reply) => void reply.data(Buffer.from(ONE)), true, cuts);
  await ended;
  expect(client.got).toEqual([ONE, `failed: worker_lost${mark}`]);
  expect(noted).toEqual([
    ['broken', 'worker_lost'],
    ['streamed', ONE.length, undefined],
  ]);
});

test('a failure before the first byte is thrown, and the client gets no byte', async () => {
  const { client, ended } = deliver(() => {
    throw new Failure('no_engine', 'no');
  }, true);
  await expect(ended).rejects.toMatchObject({ code: 'no_engine' });
  expect(client.got).toEqual([]);
});

test('a client that does not read is given up, and gets no further bytes', async () => {
  const { client, ended } = deliver(async (reply, reader) => {
    reader.unsentBytes = 101 + ONE.length;
    reply.data(Buffer.from(ONE));
    await once(reader, 'gone');
    reply.data(Buffer.from(LAST));
  }, true);
  await ended;
  expect(client.got[0]).toBe(ONE);
  expect(client.got).not.toContain(LAST);
});
