/**
 * The outline of an answer, without ids, times and words: keys, types, order; of errors also type, param and code.
 * Two answers match if their outlines are equal.
 */

/**
 * @typedef {object} Answer
 * @property {number} status 0 without an answer
 * @property {string} contentType
 * @property {readonly string[]} headerNames
 * @property {string} body
 */

/**
 * @param {Answer} expected
 * @param {Answer} seen
 * @returns {string | undefined} the first difference, in words
 */
export function difference(expected, seen) {
  if (expected.status !== seen.status)
    return `status ${seen.status}, expected ${expected.status}: ${seen.body.slice(0, 200)}`;
  if (expected.contentType !== seen.contentType) {
    return `content type ${JSON.stringify(seen.contentType)}, expected ${JSON.stringify(expected.contentType)}`;
  }
  const names = headersOf(expected).join(' ');
  if (names !== headersOf(seen).join(' ')) return `headers ${headersOf(seen).join(' ')}, expected ${names}`;
  const wanted = outline(expected);
  const found = outline(seen);
  for (let i = 0; i < Math.max(wanted.length, found.length); i += 1) {
    if (wanted[i] !== found[i])
      return `part ${i + 1}: ${found[i] ?? 'nothing'}\n      expected ${wanted[i] ?? 'nothing'}`;
  }
  return undefined;
}

/** Names of the headers that callers could act on. @param {Answer} answer */
function headersOf({ headerNames }) {
  return headerNames
    .filter((name) => /^(allow|access-control-.*|server|vary|x-.*|www-.*|retry-.*)$/.test(name))
    .toSorted();
}

/**
 * @param {Answer} answer
 * @returns {string[]} one line for a body, one per sequence of equal events of a stream
 */
function outline({ contentType, body }) {
  if (contentType.startsWith('text/event-stream')) {
    const events = body.split('\n').filter((line) => line.startsWith('data: ') || line.startsWith(': '));
    const shapes = events.map((line) => (line.startsWith('data: {') ? shapeOf(line.slice('data: '.length)) : line));
    return shapes.filter((shape, index) => shape !== shapes[index - 1]);
  }
  if (contentType.startsWith('application/json')) return [shapeOf(body)];
  if (contentType.startsWith('text/plain; version=')) return metricNames(body);
  return [body.trim()];
}

/** @param {string} json */
function shapeOf(json) {
  return JSON.stringify(shape(JSON.parse(json)));
}

/**
 * @param {unknown} value
 * @returns {unknown}
 */
function shape(value) {
  if (value === null) return null;
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0])];
  if (typeof value !== 'object') return typeof value;
  const entries = Object.entries(value);
  if ('type' in value && 'param' in value && 'code' in value) {
    const { type, param, code } = value;
    return { keys: entries.map(([key]) => key), type, param, code };
  }
  return Object.fromEntries(entries.map(([key, inner]) => [key, shape(inner)]));
}

/** Names and types of a metrics page, and the label names of each engine series. @param {string} body */
function metricNames(body) {
  const lines = body.split('\n');
  const types = lines.filter((line) => line.startsWith('# TYPE '));
  const series = lines.flatMap((line) => {
    const match = /^(vllm:[a-z_]+)\{(.*)\} /.exec(line);
    // The cache configuration is in labels, which differ between builds.
    if (match === null || match[1] === 'vllm:cache_config_info') return [];
    const labels = [...(match[2] ?? '').matchAll(/([a-z_]+)="/g)].map((label) => label[1]);
    return [`${match[1]} ${labels.join(',')}`];
  });
  return [...new Set([...types, ...series])].toSorted();
}

/** The message of an error body. @param {string} body */
export function messageOf(body) {
  const match = /"message":("(?:[^"\\]|\\.)*")/.exec(body);
  return match === null ? undefined : String(JSON.parse(match[1] ?? '""'));
}
