// @ts-check
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Images that this repository builds have no digest before somebody builds them. */
const OURS = /^(?:REGISTRY\/)?penstock\//;
const NAME = String.raw`[a-zA-Z0-9][\w.:/-]*`;
const DIGEST = 'sha256:[0-9a-f]{64}';
/** What names an image in each kind of file; the first group is the image. */
const PATTERNS = [
  { files: /\.Dockerfile$/, pattern: new RegExp(`^ARG \\w*IMAGE=(${NAME}(?:@${DIGEST})?)`, 'gm') },
  { files: /\.Dockerfile$/, pattern: new RegExp(`^FROM (${NAME}[:@]\\S+)`, 'gm') },
  { files: /\.yaml$/, pattern: new RegExp(`^\\s*(?:- )?image: ['"]?(${NAME}(?:@${DIGEST})?)`, 'gm') },
  { files: /\.mjs$/, pattern: new RegExp(`^const IMAGE = '(${NAME}(?:@${DIGEST})?)'`, 'gm') },
];
/** In the chart's values an image is four fields. */
const VALUES = new RegExp(
  String.raw`registry: (\S+)\n[^\n]*\n\s+repository: (\S+)\n[^\n]*\n\s+tag: (\S+)\n[^\n]*\n\s+digest: '?((?:${DIGEST})?)'?`,
  'g',
);
const PLACES = ['deploy', 'deploy/aks', 'deploy/local/redis'];
const CHART_VALUES = 'charts/penstock/values.yaml';
/** Answers of a registry are waited for this long, in ms. */
const ANSWER_WITHIN_MS = 30_000;
/** A list of images for several systems, or one image. Source: OCI distribution specification 1.1, and Docker's types. */
const MANIFESTS = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** @typedef {{ file: string, image: string, tag: string | undefined, digest: string | undefined }} BaseImage */

/**
 * Every image that another publisher built.
 * @param {string} root
 * @returns {BaseImage[]}
 */
export function baseImages(root) {
  const files = PLACES.flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`));
  const named = files.flatMap((file) =>
    PATTERNS.filter((one) => one.files.test(file)).flatMap(({ pattern }) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(pattern)].map(([, image = '']) => ({
        file,
        ...parts(image),
      })),
    ),
  );
  const values = existsSync(join(root, CHART_VALUES)) ? readFileSync(join(root, CHART_VALUES), 'utf8') : '';
  const ofChart = [...values.matchAll(VALUES)]
    .filter(([, registry]) => registry !== "''")
    .map(([, registry, repository, tag, digest]) => ({
      file: CHART_VALUES,
      image: `${registry}/${repository}`,
      tag,
      digest: digest === '' ? undefined : digest,
    }));
  return [...named, ...ofChart].filter(({ image }) => !OURS.test(image));
}

/** @param {string} text @returns {{ image: string, tag: string | undefined, digest: string | undefined }} */
function parts(text) {
  const [name = '', digest] = text.split('@');
  const [, image = name, tag] = /^(.*):([^:/]+)$/.exec(name) ?? [];
  return { image, tag, digest };
}

/** @param {BaseImage} of @returns {string | undefined} what is wrong */
export function imageProblem({ image, tag, digest }) {
  if (digest !== undefined || (tag !== undefined && tag !== 'latest')) return undefined;
  return `${image} has neither a digest nor the tag of a version`;
}

/**
 * Asks a registry for the digest of an image, as Docker does.
 * @param {{ image: string, tag: string | undefined }} of
 * @param {string} [scheme] of the registry
 * @returns {Promise<string>}
 * @throws Error in one sentence
 */
export async function digestOf({ image, tag = 'latest' }, scheme = 'https') {
  const [host = '', ...path] = image.split('/');
  // Docker's registry answers under another name.
  const server = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const url = `${scheme}://${server}/v2/${path.join('/')}/manifests/${tag}`;
  const ask = (/** @type {Record<string, string>} */ headers) =>
    fetch(url, {
      method: 'HEAD',
      headers: { accept: MANIFESTS, ...headers },
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
  let answer = await ask({});
  if (answer.status === 401) answer = await ask({ authorization: `Bearer ${await tokenFor(answer)}` });
  const digest = answer.headers.get('docker-content-digest') ?? '';
  if (!answer.ok || !new RegExp(`^${DIGEST}$`).test(digest))
    throw new Error(`${server} gives no digest of ${image}:${tag} (HTTP ${answer.status})`);
  return digest;
}

/** A token for anybody, from where the registry says. Source: distribution's token authentication. @param {Response} refused */
async function tokenFor({ headers, url }) {
  const challenge = headers.get('www-authenticate') ?? '';
  const field = (/** @type {string} */ name) => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1];
  const [realm, service, scope] = [field('realm'), field('service'), field('scope')];
  if (realm === undefined) throw new Error(`${new URL(url).host} asks for a login that is not known here`);
  const asked = new URL(realm);
  if (service !== undefined) asked.searchParams.set('service', service);
  if (scope !== undefined) asked.searchParams.set('scope', scope);
  const answer = await fetch(asked, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  const { token, access_token: other } = /** @type {{ token?: string, access_token?: string }} */ (await answer.json());
  return token ?? other ?? '';
}

/**
 * Writes digests behind the tags, in the files that name the images.
 * @param {string} root
 * @param {(of: BaseImage) => Promise<string>} lookUp
 * @returns {Promise<string[]>} what was written, one line each
 */
export async function pinImages(root, lookUp) {
  const loose = baseImages(root).filter(({ digest }) => digest === undefined);
  /** @type {Map<string, string>} */
  const known = new Map();
  for (const of of loose) {
    const name = `${of.image}:${of.tag}`;
    const digest = known.get(name) ?? (await lookUp(of));
    known.set(name, digest);
    const path = join(root, of.file);
    const text = readFileSync(path, 'utf8');
    const escaped = name.replaceAll('.', '\\.');
    const pinned =
      of.file === CHART_VALUES
        ? text.replace(VALUES, (all, registry, repository) =>
            `${registry}/${repository}` === of.image ? all.replace(/digest: ''$/, `digest: ${digest}`) : all,
          )
        : text.replace(new RegExp(`${escaped}(?![\\w.@-])`, 'g'), `${name}@${digest}`);
    writeFileSync(path, pinned);
  }
  return [...known].map(([name, digest]) => `${name} ${digest}`);
}
