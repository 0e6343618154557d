import type { ServerResponse } from 'node:http';

/** The engine's answer in pieces; any other text that a client accepts as complete is truncated or doubled. */
export const PIECES = [' one', ' two', ' three', ' four'] as const;
export const FULL = PIECES.join('');

/** The form of answers on an engine route. */
export interface Voice {
  /** a stream's event with a piece of a choice */
  readonly piece: (text: string, finish?: unknown, index?: number) => string;
  /** a complete answer: one text, or one with its end, per choice */
  readonly whole: (...choices: readonly (readonly [text: string, finish?: unknown])[]) => string;
}
const HEAD = { id: 'x-scripted', created: 1_795_422_691, model: 'Phi-3-vision-128k-instruct' };
const data = (members: object): string => `data: ${JSON.stringify(members)}\n\n`;
const USAGE = { prompt_tokens: 7, total_tokens: 11, completion_tokens: 4 };
const DONE = 'data: [DONE]\n\n';
const ERROR = data({ error: { message: 'it broke', type: 'x', param: null, code: 500 } });
const DYING = data({ error: { message: 'EngineCore encountered an issue.', type: 'x', param: null, code: 500 } });

const choiceVoice = (object: string, ofPiece: (text: string) => object, ofWhole: (text: string) => object): Voice => ({
  piece: (text, finish = null, index = 0) =>
    data({ ...HEAD, object, choices: [{ index, ...ofPiece(text), logprobs: null, finish_reason: finish }] }),
  whole: (...choices) =>
    JSON.stringify({
      ...HEAD,
      object,
      choices: choices.map(([text, finish], index) => ({
        index,
        ...ofWhole(text),
        logprobs: null,
        finish_reason: finish,
      })),
      usage: USAGE,
    }),
});
export const CHAT = choiceVoice(
  'chat.completion.chunk',
  (content) => ({ delta: { content } }),
  (content) => ({ message: { role: 'assistant', content } }),
);
export const TEXT = choiceVoice(
  'text_completion',
  (text) => ({ text }),
  (text) => ({ text }),
);

/** An engine's bytes, and the end of its connection: in order, by a reset, before the announced length, or never. */
export interface Ending {
  readonly bytes: readonly (string | Buffer)[];
  readonly closes?: 'reset' | 'short' | 'never';
  readonly type?: string;
}
export interface EndingRow {
  /** it contains the complete answer; else the attempt was lost, or the engine reports a failed request */
  readonly is: 'whole' | 'lost' | 'failed';
  readonly of: (voice: Voice, pieces: readonly string[]) => Ending;
}

export function play(res: ServerResponse, { bytes, closes, type = 'text/event-stream; charset=utf-8' }: Ending): void {
  const length = bytes.reduce((sum, one) => sum + Buffer.byteLength(one), 0);
  res.writeHead(200, { 'content-type': type, ...(closes === 'short' ? { 'content-length': length + 10 } : {}) });
  for (const one of bytes) res.write(one);
  if (closes === undefined) res.end();
  else if (closes !== 'never') res.write('', () => setTimeout(() => res.socket?.resetAndDestroy(), 20));
}

/** The complete stream of a healthy engine from a piece on; in chat each event has the role, as in some engines. */
export function wholeStream(voice: Voice, pieces: readonly string[]): Ending {
  return { bytes: [...withRole('"assistant"', whole(voice, pieces)), DONE] };
}
const withRole = (role: string, events: readonly string[]): string[] =>
  events.map((one) => one.replace('"delta":{', `"delta":{"role":${role},`));
function whole({ piece }: Voice, pieces: readonly string[]): string[] {
  return pieces.map((text, n) => piece(text, n === pieces.length - 1 ? 'stop' : null));
}
const usage = (): string => data({ ...HEAD, object: 'chat.completion.chunk', choices: [], usage: USAGE });
const half = ({ piece }: Voice, pieces: readonly string[]): string[] => pieces.slice(0, 2).map((text) => piece(text));
const lost = (of: (voice: Voice, begun: readonly string[]) => Ending): EndingRow => ({
  is: 'lost',
  of: (voice, pieces) => of(voice, half(voice, pieces)),
});
const isWhole = (of: (events: readonly string[], voice: Voice) => Ending): EndingRow => ({
  is: 'whole',
  of: (voice, pieces) => of(whole(voice, pieces), voice),
});
const spelled = (change: (text: string) => string): EndingRow =>
  isWhole((events) => ({ bytes: [change([...events, DONE].join(''))] }));
const BAD_UTF8 = Buffer.from([0xc3, 0x28]);
const splice = (text: string, bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(text.slice(0, 60)), bytes, Buffer.from(text.slice(60))]);

/** Ends of streams; if an attempt is lost, half of the text was sent. */
export const STREAM_ENDINGS: Readonly<Record<string, EndingRow>> = {
  'as it should': isWhole((events) => ({ bytes: [...events, DONE] })),
  'with usage': isWhole((events) => ({ bytes: [...events, usage(), DONE] })),
  '[DONE] without finish_reason': lost((_, begun) => ({ bytes: [...begun, DONE] })),
  '[DONE] alone': lost(() => ({ bytes: [DONE] })),
  '[DONE] behind the role': lost(({ piece }) => ({ bytes: [piece(''), DONE] })),
  '[DONE] behind usage without finish_reason': lost((_, begun) => ({ bytes: [...begun, usage(), DONE] })),
  'finish_reason without [DONE]': isWhole((events) => ({ bytes: events })),
  'finish_reason, then a reset': isWhole((events) => ({ bytes: events, closes: 'reset' })),
  '[DONE] twice': isWhole((events) => ({ bytes: [...events, DONE, DONE] })),
  'text behind [DONE]': isWhole((events, { piece }) => ({ bytes: [...events, DONE, piece(' five'), DONE] })),
  'an error behind [DONE]': isWhole((events) => ({ bytes: [...events, DONE, ERROR] })),
  'a reset behind [DONE]': isWhole((events) => ({ bytes: [...events, DONE], closes: 'reset' })),
  'a connection that stays open behind [DONE]': isWhole((events) => ({ bytes: [...events, DONE], closes: 'never' })),
  'text behind finish_reason': {
    is: 'whole',
    of: ({ piece }, pieces) => ({
      bytes: [...pieces.slice(0, -1).map((text) => piece(text, 'stop')), piece(pieces.at(-1) ?? ''), DONE],
    }),
  },
  'finish_reason abort': lost(({ piece }, begun) => ({ bytes: [...begun, piece('', 'abort'), DONE] })),
  'finish_reason error': lost(({ piece }, begun) => ({ bytes: [...begun, piece('', 'error'), DONE] })),
  'finish_reason of no known kind': lost(({ piece }, begun) => ({ bytes: [...begun, piece('', 'tired'), DONE] })),
  'finish_reason that is a number': lost(({ piece }, begun) => ({ bytes: [...begun, piece('', 1), DONE] })),
  'half an event': lost(({ piece }, begun) => ({ bytes: [...begun, piece(' three').slice(0, 90)] })),
  'half of [DONE]': isWhole((events) => ({ bytes: [...events, 'data: [DO'] })),
  'a reset inside an event': lost(({ piece }, begun) => ({
    bytes: [...begun, piece(' three').slice(0, 90)],
    closes: 'reset',
  })),
  'a role in each event': isWhole((events) => ({ bytes: [...withRole('"assistant"', events), DONE] })),
  'a role in each event, then a reset': lost((_, begun) => ({
    bytes: withRole('"assistant"', begun),
    closes: 'reset',
  })),
  'a role that is null, then a reset': lost((_, begun) => ({ bytes: withRole('null', begun), closes: 'reset' })),
  'a reset between events': lost((_, begun) => ({ bytes: begun, closes: 'reset' })),
  'less than was announced': lost((_, begun) => ({ bytes: begun, closes: 'short' })),
  nothing: lost(() => ({ bytes: [] })),
  'a comment of 5 MB before it': isWhole((events) => ({ bytes: [`:${'x'.repeat(5 * 2 ** 20)}\n`, ...events, DONE] })),
  'pings of other names': isWhole((events) => ({
    bytes: [...events.flatMap((one) => ['event: ping\ndata: {}\n\n', 'event: ping\ndata: now\n\n', one]), DONE],
  })),
  'a text without its end': lost(({ piece }, begun) => ({
    bytes: [...begun, piece(' three').replace(' three"', ' three'), piece('', 'stop'), DONE],
  })),
  'a tab in a text': lost(({ piece }, begun) => ({
    bytes: [...begun, piece(' three').replace(' three', ' \tthree'), piece('', 'stop'), DONE],
  })),
  'an error behind its choices': lost(({ piece }, begun) => ({
    bytes: [...begun, piece(' three').replace('}]}', '}],"error":{"message":"it broke"}}'), piece('', 'stop'), DONE],
  })),
  'an error whose code is no status': lost(() => ({ bytes: [data({ error: { message: 'x', code: 400.5 } })] })),
  'a comment': lost(() => ({ bytes: [': hi\n\n'] })),
  'an error event': { is: 'lost', of: (voice, pieces) => ({ bytes: [...half(voice, pieces), ERROR, DONE] }) },
  'an error event by its name': {
    is: 'lost',
    of: (voice, pieces) => ({
      bytes: [...half(voice, pieces), 'event: error\ndata: {"message":"it broke"}\n\n', DONE],
    }),
  },
  'an error event of a dying engine': lost((_, begun) => ({ bytes: [...begun, DYING, DONE] })),
  'an event without an end': lost((_, begun) => ({ bytes: [...begun, `data: {"id":"${'x'.repeat(5 * 2 ** 20)}`] })),
  'a malformed event': lost(({ piece }, begun) => ({
    bytes: [...begun, 'data: {"id":"x","choices":[{\n\n', piece('', 'stop'), DONE],
  })),
  'an event that is no JSON': lost(({ piece }, begun) => ({
    bytes: [...begun, 'data: sorry\n\n', piece('', 'stop'), DONE],
  })),
  NaN: lost(({ piece }, begun) => ({
    bytes: [...begun, piece(' three').replace('"logprobs":null', '"logprobs":NaN'), piece('', 'stop'), DONE],
  })),
  'bytes that are no UTF-8': lost(({ piece }, begun) => ({
    bytes: [...begun, splice(piece(' three'), BAD_UTF8), piece('', 'stop'), DONE],
  })),
  'a whole answer in place of a stream': lost((voice) => ({
    bytes: [voice.whole([FULL, 'stop'])],
    type: 'application/json',
  })),
  'a page': lost(() => ({ bytes: ['<html>busy</html>'], type: 'text/html' })),
  'lines end in CR': spelled((text) => text.replaceAll('\n', '\r')),
  'lines end in CRLF, with id and retry lines': spelled((text) =>
    text.replaceAll('data:', 'id: 1\nretry: 9\nevent: message\ndata:').replaceAll('\n', '\r\n'),
  ),
  'a byte order mark, comments, no spaces': spelled((text) => `\uFEFF: hi\n${text.replaceAll('data: ', ':\ndata:')}`),
};

const json = (text: string | Buffer, closes?: Ending['closes']): Ending => ({
  bytes: [text],
  type: 'application/json',
  ...(closes === undefined ? {} : { closes }),
});
const longList = (list: string): ((answer: string) => string) => {
  const padded = `[${'"x",'.repeat(100_000)}${list}]`;
  return (answer) => answer.replace('"logprobs":null', `"logprobs":${padded}`);
};
const lostWhole = (of: (voice: Voice) => Ending): EndingRow => ({ is: 'lost', of });
/** Ends of answers that are not streamed. */
export const WHOLE_ENDINGS: Readonly<Record<string, EndingRow>> = {
  'as it should': { is: 'whole', of: ({ whole }) => json(whole([FULL, 'stop'])) },
  'as long as was allowed': { is: 'whole', of: ({ whole }) => json(whole([FULL, 'length'])) },
  'finish_reason null': lostWhole(({ whole }) => json(whole([' one', null]))),
  'no finish_reason': lostWhole(({ whole }) => json(whole([' one']))),
  'finish_reason abort': lostWhole(({ whole }) => json(whole([' one', 'abort']))),
  'finish_reason error': lostWhole(({ whole }) => json(whole([' one', 'error']))),
  'finish_reason of no known kind': lostWhole(({ whole }) => json(whole([' one', 'tired']))),
  'no choice': lostWhole(({ whole }) => json(whole())),
  'no choices': lostWhole(() => json('{}')),
  'no text': lostWhole(() => json(JSON.stringify({ ...HEAD, choices: [{ index: 0, finish_reason: 'stop' }] }))),
  half: lostWhole(({ whole }) => json(whole([FULL, 'stop']).slice(0, -20))),
  nothing: lostWhole(() => json('')),
  NaN: lostWhole(({ whole }) => json(whole([FULL, 'stop']).replace('"logprobs":null', '"logprobs":NaN'))),
  'bytes that are no UTF-8': lostWhole(({ whole }) => json(splice(whole([FULL, 'stop']), BAD_UTF8))),
  'a long list': { is: 'whole', of: ({ whole }) => json(longList('[97,1]')(whole([FULL, 'stop']))) },
  'NaN in a long list': lostWhole(({ whole }) => json(longList('NaN')(whole([FULL, 'stop'])))),
  'a comma too many in a long list': lostWhole(({ whole }) => json(longList('[97,]')(whole([FULL, 'stop'])))),
  'no UTF-8 in a long list': lostWhole(({ whole }) =>
    json(Buffer.from(longList('"\u00ff"')(whole([FULL, 'stop'])), 'latin1')),
  ),
  'an error beside a whole answer': lostWhole(({ whole }) =>
    json(whole([FULL, 'stop']).replace(/}$/, ',"error":{"message":"it broke"}}')),
  ),
  'a byte order mark': { is: 'whole', of: ({ whole }) => json(`\uFEFF${whole([FULL, 'stop'])}`) },
  'a stream': lostWhole((voice) => wholeStream(voice, PIECES)),
  'an error with status 200': lostWhole(() => json('{"error":{"message":"it broke"}}')),
  'a page': lostWhole(() => json('<html>busy</html>')),
  'a reset': lostWhole(({ whole }) => json(whole([FULL, 'stop']).slice(0, -20), 'reset')),
  'less than was announced': lostWhole(({ whole }) => json(whole([FULL, 'stop']), 'short')),
};

/** Ends of an answer that has two choices. */
export const TWO_CHOICES: {
  readonly stream: Readonly<Record<string, EndingRow>>;
  readonly whole: Readonly<Record<string, EndingRow>>;
} = {
  stream: {
    'both finished': {
      is: 'whole',
      of: ({ piece }) => ({
        bytes: [piece(FULL), piece(FULL, null, 1), piece('', 'stop', 1), piece('', 'length'), DONE],
      }),
    },
    'the second unfinished': lost(({ piece }) => ({ bytes: [piece(FULL, null, 1), piece(FULL, 'stop'), DONE] })),
    'the second absent': lost(({ piece }) => ({ bytes: [piece(FULL, 'stop'), DONE] })),
    'the second aborted': lost(({ piece }) => ({ bytes: [piece(FULL, 'stop'), piece('', 'abort', 1), DONE] })),
    'the first twice': lost(({ piece }) => ({ bytes: [piece(FULL, 'stop'), piece('', 'stop'), DONE] })),
  },
  whole: {
    'both finished': { is: 'whole', of: ({ whole }) => json(whole([FULL, 'stop'], [FULL, 'length'])) },
    'the second unfinished': lostWhole(({ whole }) => json(whole([FULL, 'stop'], [' one', null]))),
    'the second absent': lostWhole(({ whole }) => json(whole([FULL, 'stop']))),
    'the second aborted': lostWhole(({ whole }) => json(whole([FULL, 'stop'], [' one', 'abort']))),
  },
};
