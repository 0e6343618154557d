import type { ConsoleModel } from '#contract/console';
import { whole } from '../format.ts';

/** A field of a request that the page offers, as the API names it. */
export interface Parameter {
  readonly name: ParameterName;
  readonly label: string;
  readonly lowest: number;
  readonly highest: number;
  readonly isWhole: boolean;
  /** shown in the empty field: what holds then */
  readonly unset: string;
}
const PARAMETER_NAMES = ['max_tokens', 'temperature', 'top_p', 'top_k', 'seed'] as const;
export type ParameterName = (typeof PARAMETER_NAMES)[number];
/** What was typed; empty: not sent. */
export type Typed = Readonly<Record<ParameterName, string>>;
export const NOTHING_TYPED: Typed = { max_tokens: '', temperature: '', top_p: '', top_k: '', seed: '' };

/** What a model allows. The card has a limit of tokens; the others are those of the API. */
export function parametersOf(model: ConsoleModel): readonly Parameter[] {
  const byModel = 'model’s default';
  const most = model.maxOutputTokens;
  return [
    parameter('max_tokens', 'Longest answer, tokens', 1, most, true, String(model.defaultOutputTokens)),
    parameter('temperature', 'Temperature', 0, 2, false, byModel),
    parameter('top_p', 'Top p', 0.01, 1, false, byModel),
    parameter('top_k', 'Top k', 1, 1_000, true, 'all'),
    parameter('seed', 'Seed', 0, Number.MAX_SAFE_INTEGER, true, 'random'),
  ];
}

function parameter(
  name: ParameterName,
  label: string,
  lowest: number,
  highest: number,
  isWhole: boolean,
  unset: string,
): Parameter {
  return { name, label, lowest, highest, isWhole, unset };
}

/** @returns what is wrong with a typed value, in a sentence; undefined: nothing */
export function parameterProblem({ label, lowest, highest, isWhole }: Parameter, typed: string): string | undefined {
  if (typed.trim() === '') return undefined;
  const value = Number(typed);
  if (Number.isFinite(value) && value >= lowest && value <= highest && (!isWhole || Number.isSafeInteger(value)))
    return undefined;
  const range = highest === Number.MAX_SAFE_INTEGER ? `${lowest} or more` : `from ${lowest} to ${whole(highest)}`;
  return `${label}: ${isWhole ? 'a whole number' : 'a number'} ${range}.`;
}

/** The numbers to send. */
export function numbersOf(typed: Typed): Partial<Record<ParameterName, number>> {
  const set = PARAMETER_NAMES.filter((name) => typed[name].trim() !== '');
  return Object.fromEntries(set.map((name) => [name, Number(typed[name])]));
}
