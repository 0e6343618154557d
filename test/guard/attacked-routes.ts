import { ALL, type Route } from '../bad-requests/route.ts';

/** A route that accepts a body, with functions that put a value into its input or its parameters. */
export type Attacked = Pick<Route, 'path' | 'withInput' | 'withParameters'>;

/** Answers are short, because their contents don't matter here. */
const SHORT = { max_tokens: 1 };
const isScore = (route: Route): boolean => route.shape === 'azure_score';

/** Each API shape at least once. */
export const ATTACKED: readonly Attacked[] = [
  ...ALL.map((route) => ({
    path: route.path,
    withInput: (input: unknown) =>
      isScore(route)
        ? { input_data: { input_string: input, parameters: { max_new_tokens: 1 } } }
        : { ...route.withInput(input), ...SHORT },
    withParameters: (parameters: object) =>
      route.withParameters(isScore(route) ? { max_new_tokens: 1, ...parameters } : { ...SHORT, ...parameters }),
  })),
  {
    path: '/v1/responses',
    withInput: (input) => ({ input, max_output_tokens: 16 }),
    withParameters: (parameters) => ({ input: 'hi', max_output_tokens: 16, ...parameters }),
  },
  {
    path: '/tokenize',
    withInput: (messages) => ({ messages }),
    withParameters: (parameters) => ({ prompt: 'hi', ...parameters }),
  },
];

const MARK = '\u0001here\u0001';

/** The JSON of a body with this raw text as its input. */
export function inInput(route: Attacked, raw: string): string {
  return JSON.stringify(route.withInput(MARK)).replace(JSON.stringify(MARK), () => raw);
}

/** The same, as a parameter. */
export function inField(route: Attacked, name: string, raw: string): string {
  return JSON.stringify(route.withParameters({ [name]: MARK })).replace(JSON.stringify(MARK), () => raw);
}

/** The same, as a text of the conversation. */
export function inText(route: Attacked, raw: string): string {
  return inInput(route, `[{"role":"user","content":"${raw}"}]`);
}

/** The same, as a picture's URL. */
export function inPicture(route: Attacked, raw: string): string {
  return inInput(route, `[{"role":"user","content":[{"type":"image_url","image_url":{"url":"${raw}"}}]}]`);
}
