import type { JsonValue } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import { got, isAbsent, isObject, isSet, kind } from '../reading/fields.ts';
import { LIMITS, checkLimit } from '../reading/limits.ts';
import { readTools } from '../reading/sampling.ts';

const CHOICES: Readonly<Record<string, string>> = { auto: 'auto', any: 'required', none: 'none' };

/**
 * Tools in the engine's form. Only the caller's own tools are supported, not those that Anthropic runs.
 * @throws Failure `invalid_request`, `unsupported_parameter`
 */
export function readClientTools(tools: unknown, choice: unknown): Record<string, JsonValue> {
  if (!isSet(tools) && !isSet(choice)) return {};
  if (!isAbsent(tools) && !Array.isArray(tools)) throw bad('tools', `must be a list of tools${kind(tools)}`);
  const list: unknown[] = isAbsent(tools) ? [] : tools;
  checkLimit(LIMITS.tools, list.length, 'tools');
  const inner = { tools: list.map((tool, index) => readTool(tool, `tools[${index}]`)), ...readChoice(choice) };
  try {
    return readTools(inner);
  } catch (error) {
    throw inCallersWords(error);
  }
}

function readTool(tool: unknown, at: string): object {
  if (!isObject(tool)) throw bad(at, `must be {"name": …, "input_schema": …}${kind(tool)}`);
  const { type, name, description, input_schema: parameters } = tool;
  if (!isAbsent(type) && type !== 'custom')
    throw new Failure('unsupported_parameter', `${at}.type must be custom${got(type)}: the gateway runs no tools`, {
      param: `${at}.type`,
    });
  if (!isObject(parameters)) throw bad(`${at}.input_schema`, `must be an object${kind(parameters)}`);
  const described = isAbsent(description) ? {} : { description };
  return { type: 'function', function: { name, ...described, parameters } };
}

function readChoice(choice: unknown): object {
  if (!isSet(choice)) return {};
  if (!isObject(choice)) throw bad('tool_choice', `must be an object with a type${kind(choice)}`);
  const { type, name, disable_parallel_tool_use: isSingle } = choice;
  const parallel = isAbsent(isSingle) ? {} : { parallel_tool_calls: isSingle !== true };
  if (type === 'tool') return { tool_choice: { type: 'function', function: { name } }, ...parallel };
  const chosen = typeof type === 'string' && Object.hasOwn(CHOICES, type) ? CHOICES[type] : undefined;
  if (chosen === undefined) throw bad('tool_choice.type', `must be auto, any, tool or none${got(type)}`);
  return { tool_choice: chosen, ...parallel };
}

/** Changes an error about the engine's form to name the caller's fields. */
function inCallersWords(error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const words = (text: string): string =>
    text.replaceAll('.function.parameters', '.input_schema').replaceAll('.function.', '.');
  const { param, ...options } = error.options;
  return new Failure(error.code, words(error.message), {
    ...options,
    ...(param === undefined ? {} : { param: words(param) }),
  });
}

function bad(param: string, problem: string): Failure {
  return new Failure('invalid_request', `${param} ${problem}`, { param });
}
