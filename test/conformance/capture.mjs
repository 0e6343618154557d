import { readFile } from 'node:fs/promises';

/**
 * One recorded exchange with a real vLLM.
 * @typedef {object} Capture
 * @property {string} name file name without folder and ending
 * @property {'0.32' | '0.33'} version
 * @property {string} method
 * @property {string} path
 * @property {Record<string, string>} headers of the request
 * @property {string} body of the request, possibly shortened with `...`
 * @property {number} curlExit 28 = no answer in time
 * @property {number} status
 * @property {string} contentType
 * @property {string[]} headerNames
 * @property {string} answer body, dechunked or not
 */

const FIRST_LINE = /^# (GET|POST|OPTIONS|DELETE) (\S+) ?(.*)$/s;

/**
 * Reads a recorded exchange; the first line is the request.
 * @param {string} file
 * @param {'0.32' | '0.33'} version
 * @returns {Promise<Capture | undefined>} undefined for files that describe several requests in words
 */
export async function readCapture(file, version) {
  const text = (await readFile(file, 'utf8')).replaceAll('\r', '');
  const name = (file.split('/').at(-1) ?? '').replace(/\.http$/, '');
  const [first = '', ...rest] = text.split('\n');
  const match = FIRST_LINE.exec(first);
  if (match === null) return undefined;
  const [, method = '', path = '', described = ''] = match;
  const curlExit = Number(/curl exit (\d+)/.exec(described)?.[1] ?? 0);
  const headers = /** @type {Record<string, string>} */ ({});
  let request = described.replace(/\s{3}\[[^\]]*\]$/, '').replace(/\s{3}\([^[]*\)$/, '');
  for (let header = nextHeader(request); header !== null; header = nextHeader(request)) {
    headers[(header[1] ?? '').toLowerCase()] = header[2] ?? '';
    request = request.slice(header[0].length);
  }
  const blank = rest.indexOf('');
  const head = rest.slice(0, blank < 0 ? rest.length : blank);
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(head[0] ?? '')?.[1] ?? 0);
  const contentType = head.find((line) => line.startsWith('content-type: '))?.slice('content-type: '.length) ?? '';
  const headerNames = head.slice(1).map((line) => line.slice(0, line.indexOf(':')).toLowerCase());
  const answer = blank < 0 ? '' : rest.slice(blank + 1).join('\n');
  return {
    name,
    version,
    method,
    path,
    headers,
    body: request.trim(),
    curlExit,
    status,
    contentType,
    headerNames,
    answer,
  };
}

/** @param {string} text */
function nextHeader(text) {
  return /^\s*-H "([^:"]+): ([^"]*)"/.exec(text);
}
