import { FULL, PIECES, type Ending } from './answer-endings.ts';

interface ResponseEnding {
  readonly is: 'whole' | 'lost' | 'failed';
  readonly of: Ending;
}
const event = (type: string, members: object, sequence: number): string =>
  `event: ${type}\ndata: ${JSON.stringify({ ...members, sequence_number: sequence, type })}\n\n`;
const response = (status: string, members: object = {}): object => ({
  id: 'resp_scripted',
  object: 'response',
  created_at: 1_795_422_691,
  model: 'Phi-3-vision-128k-instruct',
  status,
  incomplete_details: null,
  output: [
    {
      id: 'msg_scripted',
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: FULL, annotations: [] }],
    },
  ],
  usage: { input_tokens: 7, output_tokens: 4, total_tokens: 11 },
  ...members,
});

const PING = 'event: ping\ndata: {}\n\n';
const itemOf = (status: string): object => ({
  output: [{ id: 'msg_scripted', type: 'message', status, content: [{ type: 'output_text', text: FULL }] }],
});
const LONG = { padding: 'x'.repeat(5 * 2 ** 20) };
const OPENING = ['response.created', 'response.in_progress'].map((type, n) =>
  event(type, { response: response('in_progress', { output: [], usage: null }) }, n),
);
const ITEM = { item_id: 'msg_scripted', output_index: 0, content_index: 0 };
const ADDED = [
  event(
    'response.output_item.added',
    {
      output_index: 0,
      item: { id: 'msg_scripted', type: 'message', role: 'assistant', status: 'in_progress', content: [] },
    },
    2,
  ),
  event('response.content_part.added', { ...ITEM, part: { type: 'output_text', text: '', annotations: [] } }, 3),
];
const TEXT = PIECES.map((delta, n) => event('response.output_text.delta', { ...ITEM, delta, logprobs: [] }, 4 + n));
const HALF = [...OPENING, ...ADDED, ...TEXT.slice(0, 2)];
const ALL = [...OPENING, ...ADDED, ...TEXT];
const closing = (type: string, of: object): string => event(type, { response: of }, 8);
const COMPLETED = closing('response.completed', response('completed'));
const lost = (...bytes: readonly string[]): ResponseEnding => ({ is: 'lost', of: { bytes } });
const whole = (...bytes: readonly string[]): ResponseEnding => ({ is: 'whole', of: { bytes } });

/** A complete stream. */
export const WHOLE_RESPONSE: Ending = { bytes: [...ALL, COMPLETED] };

export const RESPONSE_STREAMS: Readonly<Record<string, ResponseEnding>> = {
  'as it should': whole(...ALL, COMPLETED),
  'as long as was allowed': whole(
    ...ALL,
    closing('response.incomplete', response('incomplete', { incomplete_details: { reason: 'max_output_tokens' } })),
  ),
  'a ping before each event': whole(...[...ALL, COMPLETED].flatMap((one) => [PING, one])),
  'a closing event of 5 MB': whole(...ALL, closing('response.completed', response('completed', LONG))),
  'completed with an error': lost(
    ...HALF,
    closing('response.completed', response('completed', { error: { message: 'it broke' } })),
  ),
  'completed with an item in progress': lost(
    ...HALF,
    closing('response.completed', response('completed', itemOf('in_progress'))),
  ),
  'a text without its end': lost(...HALF, (TEXT[2] ?? '').replace(' three"', ' three'), COMPLETED),
  'a tab in a text': lost(...HALF, (TEXT[2] ?? '').replace(' three', ' \tthree'), COMPLETED),
  'no closing event': lost(...HALF),
  '[DONE] in its place': lost(...HALF, 'data: [DONE]\n\n'),
  'the opening alone': lost(...OPENING),
  nothing: lost(),
  'completed, and still in progress': lost(...HALF, closing('response.completed', response('in_progress'))),
  'completed, and cancelled': lost(...HALF, closing('response.completed', response('cancelled'))),
  'completed without output': lost(
    ...HALF,
    closing('response.completed', response('completed', { output: undefined })),
  ),
  'incomplete for no reason': lost(...HALF, closing('response.incomplete', response('incomplete'))),
  'half of the closing event': lost(...HALF, COMPLETED.slice(0, 200)),
  'a malformed closing event': lost(...HALF, `${COMPLETED.slice(0, 200)}\n\n`),
  'a malformed event': lost(...HALF, 'event: response.output_text.delta\ndata: {"delta\n\n', COMPLETED),
  'a reset': { is: 'lost', of: { bytes: HALF, closes: 'reset' } },
  failed: {
    is: 'failed',
    of: { bytes: [...HALF, closing('response.failed', response('failed', { error: { message: 'it broke' } }))] },
  },
  'an error event': {
    is: 'failed',
    of: { bytes: [...HALF, 'event: error\ndata: {"type":"error","message":"it broke"}\n\n', COMPLETED] },
  },
  'an error behind the end': whole(...ALL, COMPLETED, 'event: error\ndata: {"type":"error","message":"it broke"}\n\n'),
  'the end twice': whole(...ALL, COMPLETED, COMPLETED),
  'a connection that stays open behind the end': { is: 'whole', of: { bytes: [...ALL, COMPLETED], closes: 'never' } },
  'a reset behind the end': { is: 'whole', of: { bytes: [...ALL, COMPLETED], closes: 'reset' } },
  'lines end in CR, no names': whole(
    [...ALL, COMPLETED]
      .join('')
      .replaceAll(/event: .*\n/g, '')
      .replaceAll('\n', '\r'),
  ),
};

const json = (body: object | string): Ending => ({
  bytes: [typeof body === 'string' ? body : JSON.stringify(body)],
  type: 'application/json',
});
export const WHOLE_ANSWER = json(response('completed'));
export const RESPONSES: Readonly<Record<string, ResponseEnding>> = {
  'as it should': { is: 'whole', of: WHOLE_ANSWER },
  'in progress': { is: 'lost', of: json(response('in_progress')) },
  failed: { is: 'lost', of: json(response('failed')) },
  cancelled: { is: 'lost', of: json(response('cancelled')) },
  'incomplete for no reason': { is: 'lost', of: json(response('incomplete')) },
  'with an error': { is: 'lost', of: json(response('completed', { error: { message: 'it broke' } })) },
  'with an item in progress': { is: 'lost', of: json(response('completed', itemOf('in_progress'))) },
  'with an item that is incomplete': { is: 'lost', of: json(response('completed', itemOf('incomplete'))) },
  'as long as was allowed': {
    is: 'whole',
    of: json(response('incomplete', { ...itemOf('incomplete'), incomplete_details: { reason: 'max_output_tokens' } })),
  },
  'a byte order mark': { is: 'whole', of: json(`\uFEFF${JSON.stringify(response('completed'))}`) },
  'no output': { is: 'lost', of: json(response('completed', { output: undefined })) },
  'no status': { is: 'lost', of: json(response('completed', { status: undefined })) },
  half: { is: 'lost', of: json(JSON.stringify(response('completed')).slice(0, -20)) },
  nothing: { is: 'lost', of: json('') },
  'a stream': { is: 'lost', of: WHOLE_RESPONSE },
};
