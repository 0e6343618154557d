// @ts-check
/** Which licences packages may have. */

/** They ask for no more than the notice that a package carries itself. */
const ALLOWED = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Unlicense',
]);

/** Packages with another licence, by name. They are development packages: no package and no image contains them. */
export const EXCEPTIONS = new Map([
  [
    'argparse',
    { licence: 'PSF-2.0', why: 'the licence of Python, permissive; markdown-it reads its command line with it' },
  ],
  [
    'axe-core',
    { licence: 'MPL-2.0', why: 'finds what hinders people in the console; runs in the browser of a test, unchanged' },
  ],
  ['caniuse-lite', { licence: 'CC-BY-4.0', why: 'a table of browsers that Babel reads when jest measures coverage' }],
  ['lightningcss', { licence: 'MPL-2.0', why: 'Vite makes the styles of the console small with it; runs unchanged' }],
]);
/** What a package for one system has behind the name of the package that it is a part of. */
const SYSTEM = /-(android|darwin|freebsd|linux|win32)-.*$/;

/**
 * @param {{ name: string, licence: string | undefined, isDevelopment: boolean }} found
 * @returns {string | undefined} what is wrong with its licence
 */
export function licenceProblem({ name, licence, isDevelopment }) {
  if (licence === undefined || licence === '') return 'has no licence';
  const exception = EXCEPTIONS.get(name.replace(SYSTEM, ''));
  if (exception?.licence === licence)
    return isDevelopment ? undefined : `has the licence ${licence}, which is allowed in development only`;
  return isAllowed(licence) ? undefined : `has the licence ${licence}, which is not on the list`;
}

/** @param {string} expression of SPDX: names, AND, OR; brackets around all of it at most */
function isAllowed(expression) {
  const bare = /^\(([^()]*)\)$/.exec(expression)?.[1] ?? expression;
  return bare.split(' OR ').some((all) => all.split(' AND ').every((name) => ALLOWED.has(name)));
}
