import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { WeightFile } from '#contract/model-card';

/** Files for people. vLLM might load any other one: weights, code, a chat template, defaults of sampling, an adapter. */
const FOR_PEOPLE =
  /(?:^|\/)(?:LICENSE|NOTICE|README|CODE_OF_CONDUCT|SECURITY|SUPPORT)[^/]*$|\.(?:md|png|jpe?g|gif|svg|pdf|ipynb)$/i;
const READ_AT_ONCE_BYTES = 4 * 1024 * 1024;

/**
 * Files of a folder and its folders, without those that begin with a dot, such as the marks of the hub's client. A link to
 * another folder counts as a file, which no card lists.
 */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter((path) => !path.split('/').some((name) => name.startsWith('.')))
    .sort();
}

/** Compares names and sizes with the card. Takes milliseconds. @returns a sentence; undefined: all are right */
export function sizeProblem(folder: string, files: readonly WeightFile[]): string | undefined {
  for (const { path, bytes } of files) {
    const found = statSync(join(folder, path), { throwIfNoEntry: false })?.size;
    if (found === undefined) return `${folder} lacks ${path}, which the card lists`;
    if (found !== bytes) return `${path} in ${folder} has ${found} bytes, and the card says ${bytes}`;
  }
  const listed = new Set(files.map(({ path }) => path));
  const foreign = filesIn(folder).find((path) => !FOR_PEOPLE.test(path) && !listed.has(path));
  return foreign === undefined ? undefined : `${folder} has ${foreign}, which the card does not list`;
}

/**
 * Compares the contents with the card: some seconds for each 10 GB.
 * @param onProgress gets the share that was read, 0 to 1
 * @returns a sentence about the first file that differs; undefined: all are right
 */
export async function hashProblem(
  folder: string,
  files: readonly WeightFile[],
  onProgress: (share: number) => void = () => {},
): Promise<string | undefined> {
  const wrong = sizeProblem(folder, files);
  if (wrong !== undefined) return wrong;
  const all = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let read = 0;
  const onBytes = (count: number): void => onProgress((read += count) / Math.max(1, all));
  for (const { path, sha256 } of files) {
    const found = await sha256Of(join(folder, path), onBytes);
    if (found !== sha256) return `${path} in ${folder} differs: its SHA-256 is ${found}, and the card says ${sha256}`;
  }
  return undefined;
}

/** The files as a card lists them. @param onProgress gets the path of each file before it is read */
export async function lockFolder(folder: string, onProgress: (path: string) => void): Promise<WeightFile[]> {
  const files: WeightFile[] = [];
  for (const path of filesIn(folder)) {
    onProgress(path);
    const file = join(folder, path);
    files.push({ path, bytes: statSync(file).size, sha256: await sha256Of(file, () => {}) });
  }
  return files;
}

async function sha256Of(file: string, onBytes: (count: number) => void): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: READ_AT_ONCE_BYTES })) {
    if (!Buffer.isBuffer(chunk)) continue;
    hash.update(chunk);
    onBytes(chunk.length);
  }
  return hash.digest('hex');
}
