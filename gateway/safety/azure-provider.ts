import type { KeyCredential, TokenCredential } from '@azure/core-auth';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import type { FilterResults, Severity, Verdict } from '../request/content-filter.ts';
import type { GuardedHost } from './guarded-host.ts';
import { Unchecked, type Content, type Picture, type Provider } from './provider.ts';
import { packedTexts } from './text-pieces.ts';

/** Limit of a text in one question (source: Azure AI Content Safety, "Input requirements": 10,000 characters). */
const LONGEST_TEXT = 10_000;
/** Limit of a picture in bytes (the same source: 4 MB). */
const LARGEST_PICTURE = 4 * 1024 * 1024;
/** Azure OpenAI's names of the service's categories. */
const NAMES: Readonly<Record<string, string>> = {
  Hate: 'hate',
  SelfHarm: 'self_harm',
  Sexual: 'sexual',
  Violence: 'violence',
};
const SEVERITIES: readonly Severity[] = ['safe', 'low', 'medium', 'high'];

const Analysis = z.object({
  categoriesAnalysis: z
    .array(z.object({ category: z.string().max(64), severity: z.int().min(0).max(7).default(0) }))
    .min(1)
    .max(32),
});

export interface AzureProviderOptions {
  /** the resource's endpoint, such as `https://NAME.cognitiveservices.azure.com` */
  readonly endpoint: URL;
  readonly credential: KeyCredential | TokenCredential;
  /** severity above which content of a category is blocked; absent: 2, as in Azure's container */
  readonly thresholds: Readonly<Record<string, number>>;
  readonly host: GuardedHost;
}

/** Azure's own container blocks what is more severe than 2 (source: its `CONTENT_SAFETY_THRESHOLD`). */
const USUAL_THRESHOLD = 2;

/** Azure AI Content Safety. Its client is loaded here, so that it costs nothing unless it is used. */
export async function createAzureProvider({
  endpoint,
  credential,
  thresholds,
  host,
}: AzureProviderOptions): Promise<Provider> {
  const { default: createClient } = await import('@azure-rest/ai-content-safety');
  const client = createClient(endpoint.href.replace(/\/$/, ''), credential, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
    redirectOptions: { maxRetries: 0 },
    httpClient: {
      sendRequest: async (request) => {
        const body = typeof request.body === 'string' ? request.body : '';
        const signal = request.abortSignal instanceof AbortSignal ? request.abortSignal : new AbortController().signal;
        const answer = await host.post(new URL(request.url), request.headers.toJSON(), body, signal);
        return { request, status: answer.status, headers: headersOf(answer.headers), bodyAsText: answer.body };
      },
    },
  });
  const analyse = async (question: Content, signal: AbortSignal) => {
    const [text = ''] = question.texts;
    const [picture] = question.pictures;
    const abort = { abortSignal: signal };
    if (picture === undefined) return client.path('/text:analyze').post({ body: { text }, ...abort });
    const image = { content: picture.base64.toString('latin1') };
    return client.path('/image:analyze').post({ body: { image }, ...abort });
  };
  return {
    questions: (content) => questionsOf(content),
    check: async (question, signal) => {
      const answer = await analyse(question, signal).catch((cause: unknown) => {
        signal.throwIfAborted();
        throw cause instanceof Unchecked ? cause : new Unchecked('malformed', 'an answer that is no JSON');
      });
      const status = Number(answer.status);
      const [picture] = question.pictures;
      if (status === 400 && picture !== undefined)
        throw new Unchecked('refused', `status ${status}`, unreadable(picture.param));
      if (status !== 200) throw new Unchecked('refused', `status ${status}`);
      const analysis = Analysis.safeParse(answer.body);
      if (!analysis.success) throw new Unchecked('malformed', 'an answer without categories');
      return verdictOf(analysis.data, thresholds);
    },
  };
}

function questionsOf(content: Content): readonly Content[] {
  const large = content.pictures.find(({ bytes }) => bytes > LARGEST_PICTURE);
  if (large !== undefined) throw new Unchecked('refused', 'a picture that is too large for it', tooLarge(large));
  const texts = packedTexts(content.texts, LONGEST_TEXT);
  return [
    ...texts.map((text) => ({ ...content, texts: [text], pictures: [] })),
    ...content.pictures.map((picture) => ({ ...content, texts: [], pictures: [picture] })),
  ];
}

function tooLarge({ param, bytes }: Picture): Failure {
  const message = `${param} has ${bytes} bytes; the content filter here takes at most ${LARGEST_PICTURE}`;
  return new Failure('image_too_large', message, { param, asked: bytes, allowed: LARGEST_PICTURE });
}

function unreadable(param: string): Failure {
  return new Failure('invalid_image', `${param} cannot be read by the content filter here`, { param });
}

function verdictOf(
  { categoriesAnalysis }: z.infer<typeof Analysis>,
  thresholds: Readonly<Record<string, number>>,
): Verdict {
  const results: Record<string, FilterResults[string]> = {};
  for (const { category, severity } of categoriesAnalysis) {
    const name = NAMES[category] ?? category.toLowerCase().replace(/[^a-z0-9]+/g, '_');
    const filtered = severity > (thresholds[name] ?? USUAL_THRESHOLD);
    results[name] = { filtered, severity: SEVERITIES[Math.floor(severity / 2)] };
  }
  return { isBlocked: Object.values(results).some(({ filtered }) => filtered), results };
}

/** The SDK's form of headers. */
function headersOf(given: Readonly<Record<string, string | string[] | undefined>>) {
  const headers = new Headers();
  for (const [name, value] of Object.entries(given)) if (value !== undefined) headers.set(name, String(value));
  return {
    get: (name: string) => headers.get(name) ?? undefined,
    has: (name: string) => headers.has(name),
    set: (name: string, value: string | number | boolean) => headers.set(name, String(value)),
    delete: (name: string) => headers.delete(name),
    toJSON: () => Object.fromEntries(headers),
    [Symbol.iterator]: () => headers.entries(),
  };
}
