// @ts-check
import { printable } from './printable.mjs';

/** @typedef {Readonly<Record<string, unknown>>} LogLine */

const LEVELS = /** @type {const} */ (['debug', 'info', 'warn', 'error']);
/** Fields that have a place of their own in each line. */
const PLACED = new Set(['level', 'time', 'program', 'pid', 'event']);
/** Fields of a request that have a place of their own, beside those. */
const PLACED_OF_REQUEST = new Set(
  (
    'method path status outcome keyId model stream kind failure ' +
    'enqueuedMs claimedMs firstByteMs totalMs promptTokens completionTokens'
  ).split(' '),
);
/** How many nested causes are shown. */
const DEEPEST_CAUSE = 4;

/** What `kubectl logs --prefix` and `docker compose logs` put before a line is shorter, in characters. */
const LONGEST_PREFIX = 200;

/**
 * What a line of a program's log says.
 * @param {string} text also with a prefix that names its pod or container
 * @returns {LogLine | undefined} undefined: it is no line of Penstock's log
 */
export function readLogLine(text) {
  const at = text.indexOf('{');
  if (at < 0 || at > LONGEST_PREFIX) return undefined;
  try {
    const line = JSON.parse(text.slice(at));
    return typeof line.time === 'string' && (typeof line.event === 'string' || line.audit !== undefined)
      ? line
      : undefined;
  } catch {
    return undefined;
  }
}

/** What stands before a line that was read. @param {string} text */
export function prefixOf(text) {
  return printable(text.slice(0, text.indexOf('{')));
}

/**
 * Whether a line is wanted. One without a level, such as the last words of a program, has each level.
 * @param {LogLine | undefined} line undefined: it is no line of the log
 * @param {{ level?: string | undefined, request?: string | undefined }} filter
 */
export function isWanted(line, { level, request }) {
  if (request !== undefined && !Object.values(line ?? {}).includes(request)) return false;
  if (level === undefined || line === undefined) return true;
  const [found, least] = [rankOf(line['level']), rankOf(level)];
  return found === -1 || found >= least;
}

/** @param {unknown} level @returns {number} -1: it is no level */
export function rankOf(level) {
  return LEVELS.findIndex((known) => known === level);
}

/**
 * A line of the log for people: time (UTC), level, program, words.
 * @param {LogLine} line
 * @returns {string}
 */
export function logText(line) {
  const time = String(line['time']).replace('T', ' ').replace(/Z$/, '');
  const isAudit = line['audit'] !== undefined;
  const level = isAudit ? 'audit' : String(line['level'] ?? '');
  const words = isAudit ? auditWords(line) : line['event'] === 'request' ? requestWords(line) : eventWords(line);
  return printable(`${time} ${level.padEnd(5)} ${String(line['program'] ?? '').padEnd(15)} ${words}`);
}

/** @param {LogLine} line */
function eventWords(line) {
  return [line['event'], ...fieldsOf(line, PLACED)].join('  ');
}

/** @param {LogLine} line */
function requestWords(line) {
  /** @param {string} name */
  const the = (name) => valueText(line[name]);
  const form = [line['kind'], line['stream'] === true ? 'stream' : undefined].filter((word) => word !== undefined);
  const rest = fieldsOf(line, new Set([...PLACED, ...PLACED_OF_REQUEST]));
  return [
    `${the('status')} ${the('method')} ${the('path')}`,
    the('outcome'),
    `key ${the('keyId')}`,
    `model ${the('model')}`,
    ...(form.length === 0 ? [] : [form.join(' ')]),
    phasesOf(line),
    ...(line['promptTokens'] === undefined ? [] : [`tokens ${the('promptTokens')}+${the('completionTokens')}`]),
    ...rest,
  ].join('  ');
}

/** How long each phase took, from the instants of a request's line, which count from its arrival. @param {LogLine} line */
function phasesOf(line) {
  /** @param {string} name */
  const at = (name) => (typeof line[name] === 'number' ? line[name] : undefined);
  const [enqueued, claimed, first, total] = ['enqueuedMs', 'claimedMs', 'firstByteMs', 'totalMs'].map(at);
  /** @type {[string, number | undefined, number | undefined][]} */
  const phases = [
    ['before the queue', 0, enqueued],
    ['queue', enqueued, claimed],
    ['first byte', claimed, first],
    ['rest', first, total],
  ];
  const told = phases.flatMap(([name, from, to]) =>
    from === undefined || to === undefined ? [] : [`${name} ${to - from}`],
  );
  return `${total ?? '-'} ms${told.length === 0 ? '' : ` (${told.join(', ')})`}`;
}

/** A line of an audit file. @param {LogLine} line */
function auditWords(line) {
  const { act, what, result, who } = line;
  const { kind, name } = /** @type {{ kind?: unknown, name?: unknown }} */ (who ?? {});
  const placed = new Set([...PLACED, 'audit', 'act', 'what', 'result', 'who']);
  return [act, what, result, `by ${valueText(kind)} ${valueText(name)}`, ...fieldsOf(line, placed)]
    .filter((word) => word !== undefined)
    .join('  ');
}

/** @param {LogLine} line @param {ReadonlySet<string>} placed @returns {string[]} `name=value` */
function fieldsOf(line, placed) {
  return Object.entries(line)
    .filter(([name, value]) => !placed.has(name) && value !== '' && value !== null)
    .map(([name, value]) => `${name}=${name === 'cause' ? causeText(value, DEEPEST_CAUSE) : valueText(value)}`);
}

/** @param {unknown} value @returns {string} */
function valueText(value) {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '-');
}

/** The words of an error without its stack. @param {unknown} cause @param {number} depth @returns {string} */
function causeText(cause, depth) {
  if (typeof cause !== 'object' || cause === null) return valueText(cause);
  const { name, code, message, cause: inner } = /** @type {Record<string, unknown>} */ (cause);
  const words = [name, code, message].filter((word) => word !== undefined).join(' ');
  return inner === undefined || depth === 0 ? words : `${words}, because of ${causeText(inner, depth - 1)}`;
}
