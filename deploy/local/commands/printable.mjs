// @ts-check

// oxlint-disable-next-line no-control-regex -- a program's text must not control the terminal
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]+/g;

/** A text of a program in one line, without what would control a terminal. @param {string} text */
export function printable(text) {
  return text.replaceAll(UNPRINTABLE, ' ');
}
