import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import { freePort } from '#runtime/free-port';

export const SAFETY_KEY = 'safety-key-canary';
export const SAFETY_TOKEN = 'safety-token-canary';
export const SAFETY_SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;

/** How the service answers from now on. */
type Mood = 'well' | 'silent' | 'malformed' | 'endless' | 401 | 429 | 500;

const Text = z.strictObject({ text: z.string().refine((text) => Array.from(text).length <= 10_000) });
const Image = z.strictObject({ image: z.strictObject({ content: z.base64() }) });
const Check = z.strictObject({
  object: z.literal('content_check'),
  direction: z.enum(['prompt', 'answer']),
  model: z.string(),
  texts: z.array(z.string()),
  images: z.array(z.strictObject({ media_type: z.string(), data: z.base64() })),
});

/** What it was asked. */
interface SafetyQuestion {
  readonly path: string;
  readonly text: string;
  readonly images: readonly string[];
}

export interface FakeContentSafety extends AsyncDisposable {
  /** endpoint of the fake Azure resource, and URL of the fake webhook; both are one server */
  readonly endpoint: string;
  readonly webhook: string;
  readonly asked: SafetyQuestion[];
  mood: Mood;
  /** decides about each question while the mood is well; absent: the mood decides alone */
  moodOf: ((question: SafetyQuestion) => Mood) | undefined;
  /** Refuses connections until `open`. */
  shut(): Promise<void>;
  open(): Promise<void>;
}

/**
 * Azure AI Content Safety in the shapes of its version 2023-10-01, and an operator's webhook. Both find violence of
 * severity 4 in a text that holds `word`, and in the picture `image`. @param tls key and certificate; absent: no TLS
 */
export async function startFakeContentSafety(
  word: string,
  image = '',
  tls?: { readonly key: Buffer; readonly cert: Buffer },
): Promise<FakeContentSafety> {
  let server: Server | undefined;
  const port = await freePort();
  const fake: FakeContentSafety = {
    endpoint: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/`,
    webhook: `http://127.0.0.1:${port}/check?of=content`,
    asked: [],
    mood: 'well',
    moodOf: undefined,
    shut: async () => {
      if (server?.listening !== true) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
    open: async () => {
      if (server?.listening === true) return;
      const listener = (req: IncomingMessage, res: ServerResponse): void => {
        let body = '';
        req.setEncoding('utf8').on('data', (text: string) => (body += text));
        req.on('end', () => answer(req, res, body));
      };
      server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    [Symbol.asyncDispose]: () => fake.shut(),
  };
  const isBad = ({ text, images }: SafetyQuestion): boolean =>
    text.includes(word) || (image !== '' && images.includes(image));

  function answer(req: IncomingMessage, res: ServerResponse, body: string): void {
    const question = read(req, body);
    if (typeof question === 'number') return refuse(res, question);
    fake.asked.push(question);
    const mood = fake.moodOf?.(question) ?? fake.mood;
    if (mood === 'silent') return;
    if (mood === 'malformed') return void res.end('{"categoriesAnalysis": [');
    if (mood === 'endless') return void res.end(`{"a":"${'x'.repeat(1_000_000)}"}`);
    if (typeof mood === 'number') return refuse(res, mood);
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(question.path === '/check' ? webhookAnswer(isBad(question)) : analysis(isBad(question))));
  }
  await fake.open();
  return fake;
}

/** @returns the status of a refusal for anything that the real service would not take */
function read({ method, url = '', headers }: IncomingMessage, body: string): SafetyQuestion | number {
  const { pathname: path, searchParams } = new URL(url, 'http://fake');
  if (method !== 'POST') return 405;
  if (path === '/check') {
    new Webhook(SAFETY_SECRET).verify(body, headers as Record<string, string>);
    const { texts, images } = Check.parse(JSON.parse(body));
    return { path, text: texts.join('\n'), images: images.map(({ data }) => data) };
  }
  const isKnown =
    headers['ocp-apim-subscription-key'] === SAFETY_KEY || headers.authorization === `Bearer ${SAFETY_TOKEN}`;
  if (!isKnown) return 401;
  if (searchParams.get('api-version') !== '2023-10-01') return 404;
  const [text, image] = [Text.safeParse(JSON.parse(body)).data, Image.safeParse(JSON.parse(body)).data];
  if (path === '/contentsafety/text:analyze') return text === undefined ? 400 : { path, text: text.text, images: [] };
  if (path !== '/contentsafety/image:analyze') return 404;
  return image === undefined ? 400 : { path, text: '', images: [image.image.content] };
}

function analysis(isBad: boolean): object {
  const severities = { Hate: 0, SelfHarm: 0, Sexual: 2, Violence: isBad ? 4 : 0 };
  const categoriesAnalysis = Object.entries(severities).map(([category, severity]) => ({ category, severity }));
  return { blocklistsMatch: [], categoriesAnalysis };
}

function webhookAnswer(isBad: boolean): object {
  return isBad
    ? { blocked: true, categories: { violence: { filtered: true, severity: 'medium' } } }
    : { blocked: false };
}

function refuse(res: ServerResponse, status: number): void {
  const error = {
    code: 'Refused',
    message: 'the words of the service, which no caller gets',
    innererror: { code: 'x' },
  };
  res.writeHead(status, { 'content-type': 'application/json', 'x-ms-error-code': 'Refused', 'retry-after': '30' });
  res.end(JSON.stringify({ error }));
}
