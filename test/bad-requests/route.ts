/** The three routes that take a request for an engine, and how each writes the same thing. */
export interface Route {
  readonly path: '/v1/chat/completions' | '/v1/completions' | '/score';
  /** where the conversation or the prompt stands in its body, and the parameters' prefix */
  readonly input: string;
  readonly prefix: string;
  /** a whole body with these parameters */
  readonly withParameters: (parameters: object) => object;
  /** a whole body with this in the conversation's place */
  readonly withInput: (input: unknown) => object;
}

const MESSAGES = [{ role: 'user', content: 'hi' }];

export const chat: Route = {
  path: '/v1/chat/completions',
  input: 'messages',
  prefix: '',
  withParameters: (parameters) => ({ messages: MESSAGES, ...parameters }),
  withInput: (input) => ({ messages: input }),
};
export const completions: Route = {
  path: '/v1/completions',
  input: 'prompt',
  prefix: '',
  withParameters: (parameters) => ({ prompt: 'hi', ...parameters }),
  withInput: (input) => ({ prompt: input }),
};
export const score: Route = {
  path: '/score',
  input: 'input_data.input_string',
  prefix: 'input_data.parameters.',
  withParameters: (parameters) => ({ input_data: { input_string: MESSAGES, parameters } }),
  withInput: (input) => ({ input_data: { input_string: input } }),
};
export const ALL: readonly Route[] = [chat, completions, score];
export const OPENAI: readonly Route[] = [chat, completions];
export const WITH_MESSAGES: readonly Route[] = [chat, score];
