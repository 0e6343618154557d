// @ts-check
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { Report } from '../chart/report.mjs';
import { baseImages, digestOf, imageProblem, pinImages } from './images.mjs';
import { EXCEPTIONS } from './licences.mjs';
import { looseActions, loosePython, packagesOf, SCRIPTS } from './packages.mjs';

const HELP = `usage: npm run check:supply -- [--out FILE] [--pin]

Checks licences, install scripts and sources of all packages, makes the SBOM, and lists base images. Needs no network.

  --out FILE  write the SBOM of the production packages to FILE (CycloneDX, JSON)
  --pin       ask the registries for the digests of images that have only a tag, and write them; needs the network
`;
const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const run = promisify(execFile);
/** @param {string} line */
const say = (line) => void process.stdout.write(`${line}\n`);
const options = /** @type {const} */ ({ out: { type: 'string' }, pin: { type: 'boolean' }, help: { type: 'boolean' } });
const { values: asked } = parseArgs({ options });

if (asked.help === true) say(HELP.trimEnd());
else if (asked.pin === true) for (const line of await pinImages(ROOT, (of) => digestOf(of))) say(line);
else await check();

async function check() {
  const report = new Report(say);
  const own = packagesOf(ROOT);
  const ofTests = packagesOf(join(ROOT, 'test/sdks/clients'), { allDevelopment: true });
  const all = [...own.packages, ...ofTests.packages];
  say(`${own.packages.filter(({ isDevelopment }) => !isDevelopment).length} production packages, ${all.length} in all`);
  for (const [licence, count] of countsOf(all)) say(`  ${licence}: ${count}`);
  for (const [name, { licence, why }] of EXCEPTIONS) say(`  exception ${name}, ${licence}: ${why}`);
  for (const [name, why] of SCRIPTS) say(`  install script ${name}: ${why}`);
  await report.check('licences, install scripts and sources of the packages', () =>
    none([...own.problems, ...ofTests.problems]),
  );
  await report.check('no exception is left over', () =>
    none([...EXCEPTIONS.keys(), ...SCRIPTS.keys()].filter((name) => !all.some((one) => one.name === name))),
  );
  await report.check('Python packages of tests have exact versions', () =>
    none(filesOf('test', /^requirements\.txt$/, loosePython)),
  );
  await report.check('steps of workflows name commits', () => none(filesOf('.github', /\.ya?ml$/, looseActions)));
  await report.check('the SBOM can be made', async () => {
    const [everything, production] = [await sbom([]), await sbom(['--omit', 'dev'])];
    say(`SBOM: ${everything.components.length} components, ${production.components.length} of them in production`);
    if (asked.out !== undefined) writeFileSync(asked.out, `${JSON.stringify(production, null, 2)}\n`);
  });
  const images = baseImages(ROOT);
  for (const { file, image, tag, digest } of images)
    say(digest === undefined ? `tag only: ${image}:${tag} in ${file}` : `digest:   ${image}@${digest} in ${file}`);
  await report.check('base images have a digest, or at least the tag of a version', () =>
    none(images.flatMap((of) => imageProblem(of) ?? [])),
  );
  say(`${report.passed} passed, ${report.failed} failed`);
  process.exitCode = report.failed === 0 ? 0 : 1;
}

/** @param {readonly string[]} problems @throws Error that lists them */
function none(problems) {
  if (problems.length > 0) throw new Error(problems.join('\n'));
}

/** @param {readonly { licence: string | undefined }[]} packages @returns {[string, number][]} the most frequent first */
function countsOf(packages) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { licence = 'none' } of packages) counts.set(licence, (counts.get(licence) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a);
}

/** @param {string} folder @param {RegExp} name @param {(text: string) => string[]} loose */
function filesOf(folder, name, loose) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && name.test(entry.name) && !entry.parentPath.includes('node_modules'))
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name);
      return loose(readFileSync(path, 'utf8')).map((line) => `${path.slice(ROOT.length + 1)}: ${line}`);
    });
}

/** @param {readonly string[]} more @returns {Promise<{ components: unknown[] }>} of the lock file, so that nothing needs to be installed */
async function sbom(more) {
  const words = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx', ...more];
  const { stdout } = await run('npm', words, { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 });
  const made = JSON.parse(stdout);
  if (made.bomFormat !== 'CycloneDX' || !Array.isArray(made.components)) throw new Error('npm made no CycloneDX');
  return made;
}
