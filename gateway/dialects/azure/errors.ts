import type { JsonValue } from '../../request/chat.ts';
import type { Failure, ShortValue } from '../../failure.ts';
import { errorObject } from '../openai/errors.ts';

/**
 * One body for all readers of Azure's errors. OpenAI's clients and azure-core read the nested `error` (its `code` must
 * equal the header `x-ms-error-code`, and `details` must be a list). Others read FastAPI's list `detail`.
 * @param status the failure's status in this dialect, whatever status wraps it
 */
export function azureErrorBody(failure: Failure, status: number): { error: object; detail?: readonly object[] } {
  const error = { ...errorObject(failure), status, details: [], ...filteredPrompt(failure) };
  const detail = detailOf(failure);
  return detail.length === 0 ? { error } : { error, detail };
}

/**
 * What the content filter found in a prompt, as Azure OpenAI says it (source: its page on content filtering; its
 * specification has the name `inner_error`, its service writes `innererror`).
 */
export function filteredPrompt({ code, options: { filterResults } }: Failure): object {
  if (code !== 'content_filter') return {};
  return { innererror: { code: 'ResponsibleAIPolicyViolation', content_filter_result: filterResults ?? {} } };
}

function detailOf({ message, options: { param, input, extras } }: Failure): object[] {
  if (extras !== undefined)
    // Pydantic's words; clients recognise them and send the request again without the field.
    return extras.map(({ name, input: value }) =>
      entry('extra_forbidden', name, 'Extra inputs are not permitted', value),
    );
  return param === undefined ? [] : [entry('value_error', param, message, input)];
}

/** In FastAPI's form. `input` is only set for a short value of a parameter, because anything else could be a prompt. */
function entry(type: string, param: string, msg: string, input: ShortValue | undefined): Record<string, JsonValue> {
  const loc = param.split(/[.[\]]+/).filter((key) => key !== '');
  return {
    type,
    loc: ['body', ...loc.map((key) => (/^\d+$/.test(key) ? Number(key) : key))],
    msg,
    ...(input === undefined ? {} : { input }),
  };
}
