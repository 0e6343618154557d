import type { z } from 'zod';
import { Failure } from '../../failure.ts';
import { Chunk, emptyMessage, stopOf, usageOf } from './answer.ts';
import { errorBody } from './errors.ts';

type Chunk = z.infer<typeof Chunk>;
type Choice = Chunk['choices'][number];
type Call = NonNullable<Choice['delta']['tool_calls']>[number];

/** The one comment that says nothing. */
const KEEP_ALIVE = ': keep-alive';

/** An event of the Messages API, which has its type twice (source: Anthropic's page on streaming). */
function eventOf(event: { readonly type: string; readonly [member: string]: unknown }): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

/**
 * Translates one stream: the complete events of an engine's chat completion, in vLLM's form, become those of a message.
 * A comment becomes a ping, and stays in front of it if it says how long the request waits. The end mark, which follows only complete answers, becomes `message_stop`.
 */
export class MessageEvents {
  /** of the first event; undefined before it */
  #isBegun = false;
  #isBroken = false;
  /** number of the open block, and its call unless it is a text block */
  #block = -1;
  #call: number | undefined;
  #isOpen = false;
  #usage: Chunk['usage'];
  #stop: object = stopOf({});

  /** @returns the client's events; may be empty */
  translate(events: string): string {
    let out = '';
    for (const event of events.split('\n\n')) if (event !== '' && !this.#isBroken) out += this.#one(event);
    return out;
  }

  #one(event: string): string {
    if (event.startsWith(':')) return (event === KEEP_ALIVE ? '' : `${event}\n`) + eventOf({ type: 'ping' });
    const data = event.slice('data: '.length);
    if (data === '[DONE]') return this.#close() + this.#end();
    const chunk = read(data);
    if (chunk !== undefined) return this.#take(chunk);
    // Its content would be missing, so no end mark may follow.
    this.#isBroken = true;
    return failureEvent(new Failure('engine_failed', 'the model sent an answer that cannot be read'));
  }

  #take(chunk: Chunk): string {
    this.#usage = chunk.usage ?? this.#usage;
    const [choice] = chunk.choices;
    const start = this.#isBegun ? '' : eventOf({ type: 'message_start', message: emptyMessage(chunk, chunk.usage) });
    this.#isBegun = true;
    return choice === undefined ? start : start + this.#delta(choice);
  }

  #delta({ delta, ...ended }: Choice): string {
    if ((ended.finish_reason ?? '') !== '') this.#stop = stopOf(ended);
    const { content, tool_calls: calls } = delta;
    const text = (content ?? '') === '' ? '' : this.#text(content ?? '');
    return text + (calls ?? []).map((call) => this.#use(call)).join('');
  }

  #text(text: string): string {
    const open = this.#isOpen && this.#call === undefined ? '' : this.#open({ type: 'text', text: '' });
    this.#call = undefined;
    return open + this.#piece({ type: 'text_delta', text });
  }

  #use({ index, id, function: { name, arguments: input } }: Call): string {
    const isNew = !this.#isOpen || this.#call !== index;
    const open = isNew ? this.#open({ type: 'tool_use', id, name, input: {} }) : '';
    this.#call = index;
    return (input ?? '') === '' ? open : open + this.#piece({ type: 'input_json_delta', partial_json: input });
  }

  #open(block: object): string {
    const close = this.#close();
    this.#isOpen = true;
    this.#block += 1;
    return close + eventOf({ type: 'content_block_start', index: this.#block, content_block: block });
  }

  #piece(delta: object): string {
    return eventOf({ type: 'content_block_delta', index: this.#block, delta });
  }

  #close(): string {
    if (!this.#isOpen) return '';
    this.#isOpen = false;
    return eventOf({ type: 'content_block_stop', index: this.#block });
  }

  #end(): string {
    return (
      eventOf({ type: 'message_delta', delta: this.#stop, usage: usageOf(this.#usage) }) +
      eventOf({ type: 'message_stop' })
    );
  }
}

/** The end of an incomplete stream; SDKs throw it as an exception. */
export function failureEvent(failure: Failure): string {
  return eventOf({ ...errorBody(failure), type: 'error' });
}

function read(data: string): Chunk | undefined {
  try {
    return Chunk.safeParse(JSON.parse(data)).data;
  } catch {
    return undefined;
  }
}
