import type { JsonValue } from '../../request/chat.ts';
import type { Failure, ShortValue } from '../../failure.ts';
import { errorObject } from '../openai/errors.ts';

/**
 * One body for all who read Azure's errors: OpenAI's clients and azure-core take the nested `error` (there `code` equals
 * the header `x-ms-error-code`, and `details` is a list), others walk FastAPI's list `detail`.
 * @param status what the failure is in this dialect, whatever status wraps it
 */
export function azureErrorBody(failure: Failure, status: number): { error: object; detail?: readonly object[] } {
  const error = { ...errorObject(failure), status, details: [] };
  const detail = detailOf(failure);
  return detail.length === 0 ? { error } : { error, detail };
}

function detailOf({ message, options: { param, input, extras } }: Failure): object[] {
  if (extras !== undefined)
    // Pydantic's words, by which clients know that they may send the request again without it.
    return extras.map(({ name, input: value }) =>
      entry('extra_forbidden', name, 'Extra inputs are not permitted', value),
    );
  return param === undefined ? [] : [entry('value_error', param, message, input)];
}

/** As FastAPI writes them; `input` only where it is a short value of a parameter: anything else could be a prompt. */
function entry(type: string, param: string, msg: string, input: ShortValue | undefined): Record<string, JsonValue> {
  const loc = param.split(/[.[\]]+/).filter((key) => key !== '');
  return {
    type,
    loc: ['body', ...loc.map((key) => (/^\d+$/.test(key) ? Number(key) : key))],
    msg,
    ...(input === undefined ? {} : { input }),
  };
}
