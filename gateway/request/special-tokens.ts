import type { ChatMessage, ChatRequest, ContentPart, JsonValue, Prompt } from './chat.ts';
import { Failure } from '../failure.ts';
import type { ModelCard } from '#contract/model-card';
import { contentPath } from './chat.ts';
import { TOKEN_BREAK, longestSpecialToken, specialTokenPattern } from '#contract/special-tokens';

/** Fields, besides the conversation, that an engine's chat template writes into the prompt. */
const PROMPT_FIELDS = ['tools', 'tool_choice'] as const;

/** Limit in one request: more tokens would only keep a gateway busy, at 100 ns each. */
const MOST_BROKEN = 10_000;

/**
 * Keeps a caller's text from becoming a control token of the model. An engine reads `<|user|>` in a text as the
 * beginning of a message, and it uses ids unchanged. An invisible character after the first character of such a token
 * turns the rest into plain letters (measured on vLLM: `npm run test:vllm`).
 * @returns a function that makes a request safe for an engine. It throws Failure `special_token` naming the field: for
 * a special token if the card says `refuse`, and for its id unless the card says `pass`
 */
export function guardSpecialTokens(card: ModelCard): (request: ChatRequest) => ChatRequest {
  const { texts } = card.tokens.special;
  if (card.special_tokens === 'pass') return (request) => request;
  const pattern = specialTokenPattern(texts);
  const longest = longestSpecialToken(texts);
  return (request) => new Guard(card, pattern, longest).guarded(request);
}

/** The work on one request. */
class Guard {
  readonly #card: ModelCard;
  readonly #pattern: RegExp;
  readonly #longest: number;
  #broken = 0;

  constructor(card: ModelCard, pattern: RegExp, longest: number) {
    this.#card = card;
    this.#pattern = pattern;
    this.#longest = longest;
  }

  guarded(request: ChatRequest): ChatRequest {
    const { messages, messagesParam, prompts, instructions, sampling } = request;
    const [first, ...more] = prompts ?? [];
    const promptAt = (index: number): string => (more.length === 0 ? messagesParam : `${messagesParam}[${index}]`);
    const asked = Object.entries(sampling).filter(([name]) => PROMPT_FIELDS.some((field) => field === name));
    return {
      ...request,
      messages: messages.map((message, index) => this.#message(message, contentPath(messagesParam, message, index))),
      ...(first === undefined
        ? {}
        : {
            prompts: [
              this.#prompt(first, promptAt(0)),
              ...more.map((prompt, index) => this.#prompt(prompt, promptAt(index + 1))),
            ],
          }),
      ...(instructions === undefined ? {} : { instructions: this.#text(instructions, 'instructions') }),
      sampling: { ...sampling, ...this.#fields(asked, '') },
    };
  }

  /** @param where path of its content */
  #message({ content, extra, ...rest }: ChatMessage, where: string): ChatMessage {
    const parts = Array.isArray(content) ? this.#parts(content, where) : content;
    return {
      ...rest,
      content: typeof parts === 'string' ? this.#text(parts, where) : parts,
      ...(extra === undefined ? {} : { extra: this.#fields(Object.entries(extra), where.replace(/content$/, '')) }),
    };
  }

  /** Parts of one message: templates may write them without any separator. */
  #parts(parts: readonly ContentPart[], at: string): ContentPart[] {
    let before = '';
    return parts.map((part, index) => {
      if (part.type !== 'text') return part;
      const where = `${at}[${index}].text`;
      let text = this.#text(part.text, where);
      const joined = before + text.slice(0, this.#longest);
      if (before !== '' && this.#isIn(joined)) {
        if (this.#card.special_tokens === 'refuse') throw this.#refusal(joined, where);
        text = TOKEN_BREAK + text;
      }
      before = (before + text).slice(-this.#longest);
      return { type: 'text', text };
    });
  }

  #prompt(prompt: Prompt, at: string): Prompt {
    if (typeof prompt === 'string') return this.#text(prompt, at);
    const { ids, begin } = this.#card.tokens.special;
    const isSpecial = (id: number): boolean => id !== begin && ids.some(([first, last]) => id >= first && id <= last);
    const index = prompt.findIndex(isSpecial);
    if (index === -1) return prompt;
    const param = `${at}[${index}]`;
    const message = `${param} is ${prompt[index]}, the id of a special token of ${this.#card.name}: only its begin token is accepted in a prompt`;
    throw new Failure('special_token', message, { param, card: this.#card.name });
  }

  /** Every text and every name in the fields. @param prefix before the fields' own names */
  #fields(fields: readonly (readonly [string, JsonValue])[], prefix: string): Record<string, JsonValue> {
    return Object.fromEntries(fields.map(([name, value]) => [name, this.#json(value, `${prefix}${name}`)]));
  }

  /** JSON of a request nests at most 64 deep. */
  #json(value: JsonValue, at: string): JsonValue {
    if (typeof value === 'string') return this.#text(value, at);
    if (Array.isArray(value)) return value.map((item) => this.#json(item, at));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [
        this.#text(name, at),
        name === 'arguments' && typeof item === 'string' ? this.#arguments(item, at) : this.#json(item, at),
      ]),
    );
  }

  /** The arguments of a call are JSON in a string, which vLLM parses for the prompt: `\u003c` becomes `<`. */
  #arguments(text: string, at: string): string {
    const plain = text.replaceAll(/\\(?:u([\da-fA-F]{4})|[\s\S])/g, (escape, hex: string | undefined) => {
      if (hex === undefined) return escape === '\\/' ? '/' : escape;
      const character = String.fromCharCode(Number.parseInt(hex, 16));
      return /["\\\p{Surrogate}\p{Cc}]/u.test(character) ? escape : character;
    });
    const edited = this.#text(plain, at);
    return edited === plain ? text : edited;
  }

  #text(text: string, at: string): string {
    if (!this.#isIn(text)) return text;
    if (this.#card.special_tokens === 'refuse') throw this.#refusal(text, at);
    // Counted first, one by one, because a replacement would process all of them before it could stop.
    this.#pattern.lastIndex = 0;
    while (this.#pattern.test(text)) {
      this.#broken += 1;
      if (this.#broken > MOST_BROKEN) throw this.#tooMany(at);
    }
    return text.replace(this.#pattern, `$&${TOKEN_BREAK}`);
  }

  #isIn(text: string): boolean {
    return text.search(this.#pattern) !== -1;
  }

  #refusal(text: string, at: string): Failure {
    const [start = '', ...rest] = new RegExp(this.#pattern, 'u').exec(text) ?? [];
    const { name } = this.#card;
    const message = `${at} has ${JSON.stringify(start + rest.join(''))}, which is a special token of ${name}: it is not accepted in a text`;
    return new Failure('special_token', message, { param: at, card: name });
  }

  #tooMany(at: string): Failure {
    const { name } = this.#card;
    const message = `the request has more than ${MOST_BROKEN} special tokens of ${name}; the one above is in ${at}`;
    return new Failure('special_token', message, { param: at, card: name, allowed: MOST_BROKEN });
  }
}
