// @ts-check
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Package of the page that shows the API's reference. */
export const DOCS_PACKAGE = 'node_modules/swagger-ui-dist';
/** What `/docs` serves of it, with its licences. */
const FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'swagger-ui-bundle.js.LICENSE.txt', 'LICENSE', 'NOTICE'];

/**
 * Copies the page's scripts and styles beside the module that serves them. Without that, an installation of Penstock would install their
 * package, which depends on one that reports each installation to its maker.
 * @param {string} root folder of package.json
 */
export function copyDocs(root) {
  const to = join(root, 'dist/gateway/http/docs');
  mkdirSync(to, { recursive: true });
  for (const file of FILES) copyFileSync(join(root, DOCS_PACKAGE, file), join(to, file));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) copyDocs(resolve(dirname(process.argv[1]), '../../..'));
