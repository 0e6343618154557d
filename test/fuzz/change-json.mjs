// @ts-check
/** @typedef {null | boolean | number | string | Json[] | { [name: string]: Json }} Json */

const MOST_LETTERS = 2_000_000;
/** Values that are cheap to send and often cause bugs. @type {readonly Json[]} */
export const ODD_VALUES = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1,
  1.5,
  1e-320,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1e308,
  '',
  ' ',
  '0',
  'null',
  'NaN',
  '\u0000',
  '\uD800',
  '\uFEFF',
  '\u202Eabc',
  '<|user|>',
  '<|image_1|>',
  '</s>',
  '__proto__',
  'constructor',
  '{{7*7}}',
  '$ref',
  '../../etc/passwd',
  'http://169.254.169.254/latest',
  'http://[::1]:6379/',
  'file:///etc/passwd',
  'data:,',
  'data:image/png;base64,',
  'data:image/png;base64,AAAA',
  'data:image/svg+xml;utf8,<svg/>',
  '(a+)+$',
  'a{1000}{1000}',
  'é'.repeat(64),
  'a'.repeat(300),
  'word '.repeat(400),
  [],
  {},
  [[]],
  [null],
  [{}],
  [[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]],
  { '': '' },
  { toString: 1 },
  { $ref: '#' },
  { type: 'image_url', image_url: { url: 'http://localhost/' } },
  { type: 'text', text: 'hi' },
  { role: 'tool', content: 'x', tool_call_id: 'y' },
];

/** Field names of any of the APIs. */
export const NAMES =
  `model messages prompt input input_data input_string parameters content role name type text image_url url detail stream
stream_options include_usage n best_of max_tokens max_completion_tokens max_new_tokens max_output_tokens min_tokens stop
stop_token_ids seed temperature top_p top_k min_p logprobs top_logprobs logit_bias bad_words tools tool_choice tool_calls
functions response_format json_schema schema strict structured_outputs grammar regex choice guided_json echo suffix user
metadata store prediction reasoning_effort chat_template chat_template_kwargs cache_salt priority request_id truncation
instructions previous_response_id include text format verbosity modalities audio repetition_detection __proto__ constructor
toString documents mm_processor_kwargs add_special_tokens continue_final_message add_generation_prompt do_sample`.split(
    /\s+/,
  );

class Place {
  #at;
  #key;

  /** @param {Record<string, Json>} at @param {string} key */
  constructor(at, key) {
    this.#at = at;
    this.#key = key;
  }

  get() {
    return this.#at[this.#key] ?? null;
  }

  /** @param {Json} value */
  set(value) {
    this.#at[this.#key] = value;
  }

  remove() {
    if (Array.isArray(this.#at)) this.#at.splice(Number(this.#key), 1);
    else delete this.#at[this.#key];
  }
}

/** All places of a tree, except the root. @param {Json} root @returns {Place[]} */
export function placesOf(root) {
  /** @type {Place[]} */
  const places = [];
  /** @param {Json} node */
  const walk = (node) => {
    if (node === null || typeof node !== 'object') return;
    const at = /** @type {Record<string, Json>} */ (node);
    for (const key of Object.keys(node)) {
      places.push(new Place(at, key));
      walk(at[key] ?? null);
    }
  };
  walk(root);
  return places;
}

/**
 * One change of a tree, in place. @param {Json} root @param {number} where any number: it chooses the place
 * @param {string} how @param {Json} value @param {string} name @param {number} count
 */
export function changeJson(root, where, how, value, name, count) {
  const places = placesOf(root);
  const place = places[where % Math.max(1, places.length)];
  if (place === undefined) return;
  const old = place.get();
  // The list of odd values stays as it is.
  const own = structuredClone(value);
  const isObject = old !== null && typeof old === 'object' && !Array.isArray(old);
  if (how === 'replace') place.set(own);
  else if (how === 'remove') place.remove();
  else if (how === 'wrap') place.set([old]);
  else if (how === 'name' && isObject)
    Object.defineProperty(old, name, { value: own, enumerable: true, configurable: true, writable: true });
  else if (how === 'name') place.set({ [name]: old });
  else if (how === 'nest' && isSmall(old, 120)) {
    let deep = old;
    for (let i = 0; i < count % 120; i += 1) deep = i % 2 === 0 ? [deep] : { [name]: deep };
    place.set(deep);
  } else if (!isSmall(old, count)) place.remove();
  else if (Array.isArray(old))
    place.set(Array.from({ length: count }, (_, i) => structuredClone(old[i % Math.max(1, old.length)] ?? null)));
  else if (typeof old === 'string') place.set(old.repeat(count));
  // Copies, because a later change must affect only one of them.
  else place.set(Array.from({ length: count }, () => structuredClone(old)));
}

/** A value that grew once must not grow by as much again. @param {Json} value @param {number} times */
function isSmall(value, times) {
  return JSON.stringify(value).length * times < MOST_LETTERS;
}

/** @type {readonly string[]} */
export const JSON_CHANGES = ['replace', 'replace', 'replace', 'remove', 'wrap', 'name', 'name', 'nest', 'repeat'];
