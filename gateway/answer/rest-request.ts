import { z } from 'zod';
import { readEngineRequest } from '../intake/engine-request.ts';

/**
 * How many tokens a request of `/tokenize` has. @returns undefined when no engine says so
 * @param body the engine's request
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
/** The last message is the answer's beginning. */
const PREFIXED = { add_generation_prompt: false, continue_final_message: true };

/** The engine's request for the rest of an answer: the same conversation, with the answer's beginning as an assistant prefix. */
export class RestRequest {
  readonly #request: ReturnType<typeof readEngineRequest>;
  readonly #body: z.infer<typeof Body>;
  /** the caller's own beginning of the answer, which its prompt ends with */
  readonly #begun: string | undefined;
  readonly #prefix: string;

  /**
   * @param original the engine's request of the first epoch
   * @param prefix text of the answer that was delivered
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

  /** the answer's beginning: the caller's part of it, and the model's */
  get beginning(): string {
    return (this.#begun ?? '') + this.#prefix;
  }

  /** the most that the first epoch's answer could have, in tokens */
  get maxTokens(): number {
    return this.#body.max_tokens;
  }

  /**
   * By how much the text lengthens a prompt. The caller's messages and pictures stay out of it: a role's token stands
   * before the answer, so that what came earlier does not change how it is read (measured on vLLM, pictures included).
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

  /** @param tokens that were delivered */
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
      // The same seed would draw the answer's first numbers again, and with them its beginning.
      ...(seed === undefined ? {} : { seed: typeof seed === 'number' ? seed + tokens : addedTo(seed, tokens) }),
      ...PREFIXED,
    });
  }
}

/** A seed of more than 53 bits, as a text. */
function addedTo(seed: string, tokens: number): string {
  return String(BigInt.asIntN(64, BigInt(seed) + BigInt(tokens)));
}
