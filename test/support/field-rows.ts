import { readFileSync } from 'node:fs';

/** One line of test/fixtures/request-fields/fields.tsv: a field, a part or a form of value. */
export interface FieldRow {
  readonly route: string;
  /** such as `messages[](role=user).content[](type=text).text` */
  readonly place: string;
  /** a kind of value, or the value itself as JSON */
  readonly form: string;
  readonly sources: readonly string[];
}

/** Every line, with one row for each value of a flag. */
export function fieldRows(): FieldRow[] {
  const [, ...lines] = readFileSync('test/fixtures/request-fields/fields.tsv', 'utf8').trimEnd().split('\n');
  return lines.flatMap((line) => {
    const [route = '', place = '', form = '', sources = ''] = line.split('\t');
    const row = { route, place, form, sources: sources.split(' ') };
    return form === 'boolean' ? ['true', 'false'].map((flag) => ({ ...row, form: flag })) : [row];
  });
}

type Json = Readonly<Record<string, unknown>>;
const schema = { type: 'object' };
const url = 'data:image/png;base64,AA==';

/** Fields that a variant needs besides the one that distinguishes it. */
const VARIANTS: Readonly<Record<string, Json>> = {
  'content(type=text)': { text: 'said' },
  'content(type=refusal)': { refusal: 'said' },
  'content(type=image_url)': { image_url: { url } },
  'content(type=input_text)': { text: 'said' },
  'content(type=output_text)': { text: 'said' },
  'content(type=input_image)': { image_url: url },
  'tool_calls(type=function)': { id: 'c', function: { name: 'f', arguments: '{}' } },
  'messages(role=user)': { content: 'words' },
  'messages(role=system)': { content: 'words' },
  'messages(role=developer)': { content: 'words' },
  'messages(role=assistant)': { content: 'words' },
  'messages(role=function)': { content: 'words', name: 'f' },
  'messages(role=tool)': { content: 'words', tool_call_id: 'c' },
  'input(role=user)': { content: 'words' },
  'input(role=system)': { content: 'words' },
  'input(role=developer)': { content: 'words' },
  'input(role=assistant)': { content: 'words' },
};
/** Fields that an object needs while its own fields are sent one by one. */
const OBJECTS: Readonly<Record<string, Json>> = {
  'messages[]': { role: 'assistant', content: 'words' },
  'input[]': { role: 'user', content: 'words' },
  'response_format(type=json_schema)': { json_schema: { name: 'a', schema } },
  'response_format(type=json_schema).json_schema': { name: 'a', schema },
  'response_format(type=json_object).json_schema': { name: 'a', schema },
  'response_format(type=text).json_schema': { name: 'a', schema },
  'response_format(type=structural_tag)': { structures: [{ begin: '<a>', schema, end: '</a>' }], triggers: ['<a'] },
  'response_format(type=structural_tag).structures[]': { begin: '<a>', schema, end: '</a>' },
  'text.format(type=json_schema)': { name: 'a', schema },
  'tool_choice(type=function)': { function: { name: 'f' } },
  'tools[](type=function)': { function: { name: 'f' } },
};
const SAMPLES: Readonly<Record<string, unknown>> = {
  top_p: 0.5,
  min_p: 0.5,
  n: 2,
  best_of: 1,
  stream_options: { include_usage: true },
  'responses stream_options': { include_obfuscation: false },
  logit_bias: { '5': 1 },
  metadata: { a: 'b' },
  structured_outputs: { choice: ['a'] },
  'structured_outputs.json': { text: JSON.stringify(schema), object: schema },
  'structured_outputs.structural_tag': JSON.stringify(schema),
  repetition_detection: { max_pattern_size: 2, min_count: 2 },
  reasoning: { effort: 'low' },
  text: { format: { type: 'json_object' } },
  'response_format(type=structural_tag).format': { type: 'any_text' },
  'structured_outputs.grammar': 'root ::= "a"',
};
const TOOLS = { tools: [{ type: 'function', function: { name: 'f' } }] };
const STREAM = { stream: true };
const COUNTED = { stream: true, stream_options: { include_usage: true } };
/** Fields that only have a meaning together with another one, per route or on all routes. */
const BESIDE: Readonly<Record<string, Json>> = {
  'chat top_logprobs': { logprobs: true },
  'responses top_logprobs': { include: ['message.output_text.logprobs'] },
  'chat stream_options': STREAM,
  'completions stream_options': STREAM,
  'chat tool_choice': TOOLS,
  'chat parallel_tool_calls': TOOLS,
  'stream_options.continuous_usage_stats': COUNTED,
  'structured_outputs.disable_any_whitespace': { structured_outputs: { json: schema } },
  'structured_outputs.disable_additional_properties': { structured_outputs: { json: schema } },
  'structured_outputs.whitespace_pattern': { structured_outputs: { json: schema } },
};
const WORDS: Readonly<Record<string, unknown>> = { text: 'x', integer: 1, number: 1, any: 'x' };

/** The top-level field of the row's place. */
export function fieldOf({ place }: FieldRow): string {
  return place.split(/[.[(]/)[0] ?? '';
}

/**
 * A body with the row's value in its place, and the same body without it.
 * @param plain the smallest body that the route accepts
 */
export function bodiesOf(row: FieldRow, plain: Json): { readonly with: Json; readonly without: Json } {
  const body = { ...plain, ...BESIDE[`${row.route} ${fieldOf(row)}`], ...BESIDE[row.place] };
  const segments = row.place.split('.');
  return { with: put(body, segments, '', row, true), without: put(body, segments, '', row, false) };
}

function put(
  object: Json,
  [segment = '', ...rest]: readonly string[],
  before: string,
  row: FieldRow,
  isSet: boolean,
): Json {
  const [, name = '', lists = '', variant] = /^(\w+)((?:\[\])*)(?:\((.*)\))?$/.exec(segment) ?? [];
  // A required object is left out entirely; a required text is replaced by another one.
  if (rest.length === 0 && !isSet)
    return Object.fromEntries(Object.entries(object).filter(([other]) => other !== name || row.form !== 'object'));
  const place = `${before}${segment}`;
  const inner = { ...(variant === undefined ? {} : variantOf(name, variant)), ...OBJECTS[place] };
  const present = object[name];
  const base = isJson(present) ? { ...inner, ...present } : inner;
  const value = rest.length > 0 ? put(base, rest, `${place}.`, row, isSet) : valueOf(row, inner);
  return { ...object, [name]: (lists.match(/\[\]/g) ?? []).reduce<unknown>((item) => [item], value) };
}

function variantOf(name: string, variant: string): Json {
  const [by = '', value = ''] = variant.split('=');
  return { [by]: value, ...VARIANTS[`${name}(${variant})`] };
}

function valueOf({ route, place, form }: FieldRow, inner: Json): unknown {
  const sample = SAMPLES[`${route} ${place}`] ?? SAMPLES[place];
  if (isJson(sample) && form in sample) return sample[form];
  if (sample !== undefined) return sample;
  if (form === 'object') return Object.keys(inner).length > 0 ? inner : { a: 1 };
  return form in WORDS ? WORDS[form] : JSON.parse(form);
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
