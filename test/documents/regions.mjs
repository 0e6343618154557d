// @ts-check
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import prettier from 'prettier';

/** Parts of pages between `<!-- generated: NAME -->` and `<!-- end generated -->`, which the programs determine. */

const REGION = /^<!-- generated: (.+) -->$([^]*?)^<!-- end generated -->$/gm;

/**
 * The pages whose regions are not as the programs are.
 * @param {string} root
 * @param {readonly string[]} files pages, relative to it
 * @param {Readonly<Record<string, string>>} contents of the regions by name
 * @returns {Promise<{ file: string, wanted: string }[]>} with what each page should be
 * @throws Error for a name that is unknown
 */
export async function stalePages(root, files, contents) {
  const stale = [];
  for (const file of files) {
    const path = join(root, file);
    const page = readFileSync(path, 'utf8');
    const filled = withRegions(page, contents);
    if (filled === page) continue;
    const wanted = await prettier.format(filled, { ...(await prettier.resolveConfig(path)), filepath: path });
    if (wanted !== page) stale.push({ file, wanted });
  }
  return stale;
}

/**
 * The page with what its regions should hold.
 * @param {string} page
 * @param {Readonly<Record<string, string>>} contents by name
 * @returns {string}
 * @throws Error for a name that is unknown
 */
function withRegions(page, contents) {
  return page.replaceAll(REGION, (_whole, /** @type {string} */ name) => {
    const content = contents[name];
    if (content === undefined) throw new Error(`no region ${name}; there are ${Object.keys(contents).join(', ')}`);
    return `<!-- generated: ${name} -->\n\n${content}\n\n<!-- end generated -->`;
  });
}
