import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { WeightFile } from '#contract/model-card';

/** Where the hub's client asks too, unless another place is named. Source: huggingface_hub, `HF_ENDPOINT`. */
const HUB = 'https://huggingface.co';
const ANSWER_WITHIN_MS = 60_000;
/** The list of a repository. */
const MOST_LISTED_BYTES = 4 * 1024 * 1024;
/** A file that the hub keeps in Git itself has at most 10 MB. Source: huggingface.co/docs/hub/repositories-getting-started. */
const MOST_FILE_BYTES = 10 * 1024 * 1024;

/** Source: huggingface.co/docs/hub/api, `GET /api/models/{repo}/tree/{revision}`: only large files have their SHA-256 there. */
const Tree = z
  .array(
    z.object({
      type: z.string(),
      path: z.string().max(512),
      size: z.int().nonnegative(),
      lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().nonnegative() }).optional(),
    }),
  )
  .max(1_000);

/**
 * Lists the files of one commit, from the hub's own answers; the small ones are fetched to hash them.
 * @throws Error in one sentence
 */
export async function lockHub(
  at: {
    readonly hub: string | undefined;
    readonly name: string;
    readonly revision: string;
    readonly token: string | undefined;
  },
  onProgress: (path: string) => void,
): Promise<WeightFile[]> {
  const hub = at.hub ?? HUB;
  const headers: Record<string, string> = at.token === undefined ? {} : { authorization: `Bearer ${at.token}` };
  const tree = await bytesOf(
    `${hub}/api/models/${at.name}/tree/${at.revision}?recursive=true`,
    headers,
    MOST_LISTED_BYTES,
  );
  const parsed = Tree.safeParse(jsonOf(tree));
  if (!parsed.success) throw new Error(`${hub} lists the files of ${at.name} in a form that is not known here`);
  const files: WeightFile[] = [];
  for (const { type, path, size, lfs } of parsed.data) {
    if (type !== 'file' || path.split('/').some((name) => name.startsWith('.'))) continue;
    onProgress(path);
    if (lfs !== undefined) files.push({ path, bytes: lfs.size, sha256: lfs.oid });
    else {
      const where = path.split('/').map(encodeURIComponent).join('/');
      const bytes = await bytesOf(`${hub}/${at.name}/resolve/${at.revision}/${where}`, headers, MOST_FILE_BYTES);
      if (bytes.length !== size) throw new Error(`${hub} gave ${bytes.length} of the ${size} bytes of ${path}`);
      files.push({ path, bytes: size, sha256: createHash('sha256').update(bytes).digest('hex') });
    }
  }
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

async function bytesOf(url: string, headers: Record<string, string>, most: number): Promise<Buffer> {
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) }).catch(
    (cause: unknown) => {
      throw new Error(`${new URL(url).host} does not answer`, { cause });
    },
  );
  if (!answer.ok || answer.body === null) throw new Error(`${url} answers HTTP ${answer.status}`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body) {
    if (!(chunk instanceof Uint8Array)) continue;
    size += chunk.length;
    if (size > most) throw new Error(`${url} has more than ${most} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
