import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { call, type Outcome } from '../support/call.ts';
import { startFakeEngine, type FakeEngine } from '../support/fake-engine.ts';
import { scriptedEngine, startScriptedDispatcher } from '../support/scripted-stack.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** One failure of an engine, and the code that each route gives it, streamed or not. */
const MODEL = 'Phi-3-vision-128k-instruct';
type Route = (typeof ROUTES)[number]['path'];
const messagesOf = (content: string): object => ({ messages: [{ role: 'user', content }] });
const ROUTES = [
  { path: '/v1/chat/completions', body: messagesOf },
  { path: '/v1/completions', body: (prompt: string): object => ({ prompt }) },
  { path: '/v1/responses', body: (input: string): object => ({ input }) },
  { path: '/v1/messages', body: (text: string): object => ({ ...messagesOf(text), max_tokens: 8 }) },
  { path: '/chat/completions', body: messagesOf },
  { path: '/completions', body: (prompt: string): object => ({ prompt }) },
  { path: '/openai/deployments/phi-3-vision/chat/completions', body: messagesOf },
  {
    path: '/score',
    body: (content: string): object => ({ input_data: { input_string: [{ role: 'user', content }] } }),
  },
] as const;

/** The words of one route of an engine. */
interface Voice {
  readonly isStream: boolean;
  /** half an answer: events of a stream, bytes of a body */
  readonly half: string;
  /** an answer that ends in this way, by the words of the route */
  ended(how: 'cut' | 'broken' | 'unknown'): string;
  /** an error that the engine reports after its 200, behind `before` */
  error(before: string, error: object): string;
}
const event = (members: object): string => `data: ${JSON.stringify(members)}\n\n`;
const DONE = 'data: [DONE]\n\n';
const HEAD = { id: 'x-scripted', created: 1_795_422_691, model: MODEL };
const REASONS = { cut: 'abort', broken: 'error', unknown: 'tired' } as const;
const STATES = { cut: 'in_progress', broken: 'failed', unknown: 'tired' } as const;

function voiceOf(url: string, isStream: boolean): Voice {
  if (url === '/v1/responses') return responseVoice(isStream);
  const isChat = url === '/v1/chat/completions';
  const choice = (text: string, reason: string | null): object => {
    const piece = isChat ? { [isStream ? 'delta' : 'message']: { role: 'assistant', content: text } } : { text };
    return { ...HEAD, choices: [{ index: 0, ...piece, finish_reason: reason }] };
  };
  if (!isStream)
    return {
      isStream,
      half: JSON.stringify(choice('one', 'stop')).slice(0, -9),
      ended: (how) => JSON.stringify(choice('one', REASONS[how])),
      error: (_before, error) => JSON.stringify({ error }),
    };
  const half = event(choice('one', null));
  return {
    isStream,
    half,
    ended: (how) => half + event(choice('', REASONS[how])) + DONE,
    error: (before, error) => before + event({ error }) + DONE,
  };
}

function responseVoice(isStream: boolean): Voice {
  const response = (status: string): object => ({ object: 'response', status, output: [], error: null });
  const said = (type: string, members: object): string => `event: ${type}\n${event({ type, ...members })}`;
  if (!isStream)
    return {
      isStream,
      half: JSON.stringify(response('completed')).slice(0, -9),
      ended: (how) => JSON.stringify(response(STATES[how])),
      error: (_before, error) => JSON.stringify({ ...response('failed'), error }),
    };
  const half =
    said('response.created', { response: response('in_progress') }) +
    said('response.output_text.delta', { item_id: 'm', output_index: 0, content_index: 0, delta: 'one' });
  const end = { cut: 'response.completed', broken: 'response.failed', unknown: 'response.completed' } as const;
  return {
    isStream,
    half,
    ended: (how) => half + said(end[how], { response: response(STATES[how]) }),
    error: (before, error) => before + said('response.failed', { response: { ...response('failed'), error } }),
  };
}

const fault = (code: number, text: string): object => ({ message: text, type: 'x', param: null, code });
const typeOf = ({ isStream }: Voice): Record<string, string> => ({
  'content-type': isStream ? 'text/event-stream; charset=utf-8' : 'application/json',
});
const send = (res: ServerResponse, voice: Voice, text: string): ServerResponse => {
  res.writeHead(200, typeOf(voice));
  res.write(text);
  return res;
};
const status = (code: number) => (res: ServerResponse) =>
  void res.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify({ error: fault(code, 'no') }));

interface Kind {
  readonly play: (res: ServerResponse, voice: Voice) => void;
  readonly code: string;
  /** what a route answers instead */
  readonly except?: Partial<Record<Route, { readonly streamed: string }>>;
}
/** With `always`: each attempt ends so. */
const KINDS: Readonly<Record<string, Kind>> = {
  'status 500': { play: status(500), code: 'engine_failed' },
  'status 503': { play: status(503), code: 'worker_lost' },
  'status 401': { play: status(401), code: 'engine_failed' },
  'status 429': { play: status(429), code: 'engine_failed' },
  'status 400 in unknown words': { play: status(400), code: 'engine_refused' },
  'an empty 200': { play: (res, voice) => void send(res, voice, '').end(), code: 'worker_lost' },
  'half an answer, and its end': { play: (res, voice) => void send(res, voice, voice.half).end(), code: 'worker_lost' },
  'an answer that was cut short': {
    play: (res, voice) => void send(res, voice, voice.ended('cut')).end(),
    code: 'worker_lost',
  },
  'an answer that failed, without a reason': {
    play: (res, voice) => void send(res, voice, voice.ended('broken')).end(),
    code: 'worker_lost',
  },
  'an end of an unknown kind': {
    play: (res, voice) => void send(res, voice, voice.ended('unknown')).end(),
    code: 'worker_lost',
  },
  'bytes that are no answer': {
    play: (res, voice) => void send(res, voice, 'data: <html>\n\n').end(),
    code: 'worker_lost',
  },
  'an error before the first word': {
    play: (res, voice) => void send(res, voice, voice.error('', fault(500, 'it broke'))).end(),
    code: 'engine_failed',
  },
  'an error after some words': {
    play: (res, voice) => void send(res, voice, voice.error(voice.half, fault(500, 'it broke'))).end(),
    code: 'engine_failed',
  },
  'a refusal before the first word': {
    play: (res, voice) => void send(res, voice, voice.error('', fault(400, 'it broke'))).end(),
    code: 'engine_refused',
  },
  'a refusal after some words': {
    play: (res, voice) => void send(res, voice, voice.error(voice.half, fault(400, 'it broke'))).end(),
    code: 'engine_refused',
  },
  'a connection that is reset before the head': {
    play: (res) => void res.socket?.resetAndDestroy(),
    code: 'request_quarantined',
  },
  'half an answer, and closes its connection': {
    play: (res, voice) => {
      res.writeHead(200, typeOf(voice));
      res.write(voice.half, () => res.socket?.destroy());
    },
    code: 'request_quarantined',
    // A stream that has begun is continued for chats alone: elsewhere no second engine ends over it.
    except: {
      '/v1/completions': { streamed: 'worker_lost' },
      '/completions': { streamed: 'worker_lost' },
      '/v1/responses': { streamed: 'worker_lost' },
    },
  },
};

let stack: Stack;
let engine: FakeEngine;
let dispatcher: AsyncDisposable;
let kind: Kind = { play: (res) => void res.end(), code: '' };
const Asked = z.object({ stream: z.boolean().default(false) });
beforeAll(async () => {
  stack = await startStack({ launchers: 0 });
  engine = await startFakeEngine((res, body) => {
    res.on('error', () => {});
    const url = res.req.url ?? '';
    if (url === '/tokenize') return void res.end('{"count":1}');
    kind.play(res, voiceOf(url, Asked.parse(body).stream));
  });
  dispatcher = await startScriptedDispatcher(stack, [scriptedEngine(MODEL, engine)]);
}, 60_000);
afterAll(async () => {
  await dispatcher[Symbol.asyncDispose]();
  await stack[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

const codeOf = ({ headers, body }: Outcome): unknown =>
  headers['x-ms-error-code'] ?? /"code":\s?"(\w+)"/.exec(body)?.[1] ?? body;

test.each(Object.entries(KINDS))(
  'an engine that sends %s: the same code on all routes, streamed or not',
  async (what, played) => {
    kind = played;
    const requests = ROUTES.flatMap(({ path, body }) =>
      (path === '/score' ? [false] : [false, true]).map((stream) => ({ path, body, stream })),
    );
    const ask = async ({ path, body, stream }: (typeof requests)[number]): Promise<[string, unknown, string]> => {
      const name = `${path}${stream ? ', streamed' : ''}`;
      // One that is known from another route or kind may be in quarantine.
      const asked = { ...body(`${what} on ${name}`), ...(stream ? { stream } : {}) };
      const code = codeOf(await call(stack.url + path, asked).ended);
      return [name, code, (stream ? played.except?.[path]?.streamed : undefined) ?? played.code];
    };
    const answers: Awaited<ReturnType<typeof ask>>[] = [];
    // Of several requests on an engine that ends, the last one alone is suspected.
    if (played.code === 'request_quarantined') for (const request of requests) answers.push(await ask(request));
    else answers.push(...(await Promise.all(requests.map(ask))));
    expect(answers.map(([name, code]) => [name, code])).toEqual(answers.map(([name, , code]) => [name, code]));
  },
  60_000,
);
