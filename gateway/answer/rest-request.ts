import { z } from 'zod';
import { readEngineRequest } from '../intake/engine-request.ts';

/**
 * Counts the tokens of a request to `/tokenize`. @param body the engine's request
 * @returns undefined if no engine answers
 */
export type CountTokens = (body: Buffer) => Promise<number | undefined>;

const Body = z.looseObject({
  model: z.string(),
  messages: z.array(z.looseObject({ role: z.string(), content: z.unknown() })),
  max_tokens: z.number(),
  min_tokens: z.number().optional(),
  seed: z.union([z.number(), z.string()]).optional(),
  continue_final_message: z.boolean().optional(),
});
/** The last message is the beginning of the answer. */
const PREFIXED = { add_generation_prompt: false, continue_final_message: true };

/** The engine's request for the rest of an answer: the conversation, and the text so far as an assistant prefix. */
export class RestRequest {
  readonly #request: ReturnType<typeof readEngineRequest>;
  readonly #body: z.infer<typeof Body>;
  /** the caller's own beginning of the answer, at the end of its prompt */
  readonly #begun: string | undefined;
  readonly #prefix: string;

  /**
   * @param original the engine's request of the first epoch
   * @param prefix the delivered text of the answer
   */
  constructor(original: Buffer, prefix: string) {
    this.#request = readEngineRequest(original);
    this.#body = Body.parse(this.#request.body);
    const last = this.#body.messages.at(-1);
    this.#begun =
      this.#body.continue_final_message === true && last?.role === 'assistant' && typeof last.content === 'string'
        ? last.content
        : undefined;
    this.#prefix = prefix;
  }

  /** the beginning of the answer: the caller's part and the model's */
  get beginning(): string {
    return (this.#begun ?? '') + this.#prefix;
  }

  /** limit of the first epoch's answer, in tokens */
  get maxTokens(): number {
    return this.#body.max_tokens;
  }

  /**
   * The tokens that the delivered text adds to a prompt. It leaves out the caller's messages and pictures. A role token
   * separates them from the answer, so they do not change its tokens (measured on vLLM, pictures included).
   */
  async countDelivered(countTokens: CountTokens): Promise<number | undefined> {
    const { model } = this.#body;
    const asked = { role: 'user', content: '.' };
    const upTo = (answer: string | undefined): Buffer =>
      Buffer.from(
        JSON.stringify(
          answer === undefined
            ? { model, messages: [asked] }
            : { model, messages: [asked, { role: 'assistant', content: answer }], ...PREFIXED },
        ),
      );
    const [before, after] = await Promise.all([countTokens(upTo(this.#begun)), countTokens(upTo(this.beginning))]);
    return before === undefined || after === undefined ? undefined : after - before;
  }

  /** @param tokens delivered tokens */
  write(tokens: number): Buffer {
    const { messages, max_tokens: most, min_tokens: least, seed } = this.#body;
    const left = most - tokens;
    const prefixed =
      this.#begun === undefined
        ? [...messages, { role: 'assistant', content: this.#prefix }]
        : [...messages.slice(0, -1), { ...messages.at(-1), content: this.beginning }];
    return this.#request.write({
      ...this.#body,
      messages: prefixed,
      max_tokens: left,
      ...(least === undefined ? {} : { min_tokens: Math.min(left, Math.max(0, least - tokens)) }),
      // The same seed would draw the first random numbers again, and with them the beginning of the answer.
      ...(seed === undefined ? {} : { seed: typeof seed === 'number' ? seed + tokens : addedTo(seed, tokens) }),
      ...PREFIXED,
    });
  }
}

/** A seed of more than 53 bits, as a string. */
function addedTo(seed: string, tokens: number): string {
  return String(BigInt.asIntN(64, BigInt(seed) + BigInt(tokens)));
}
