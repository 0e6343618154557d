import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { startPictureServer } from '../bad-requests/picture-server.ts';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { dataUri, png } from '../support/pictures.ts';
import { startStack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

/** The clients' input, as JSON in `PENSTOCK_SDKS_SERVED`. All requests have temperature 0 and `maxTokens`. */
export interface Served {
  /** of the gateway, without `/v1` */
  readonly url: string;
  readonly key: string;
  readonly model: string;
  /** one token per second, about a minute per answer: for clients that leave */
  readonly slowModel: string;
  /** its engine breaks off each stream after some words */
  readonly brokenModel: string;
  /** URL at which the gateway reports the requests of each engine */
  readonly status: string;
  readonly maxTokens: number;
  /** first and second message of a conversation, and one for a picture */
  readonly questions: { readonly first: string; readonly second: string; readonly picture: string };
  /** the same picture as a data URI and as a URL */
  readonly png: string;
  readonly picture: string;
  /** a gateway whose queue for this model is full: 429 */
  readonly full: { readonly url: string; readonly model: string };
  /** a gateway without memory for another body: 503 */
  readonly crowded: { readonly url: string };
  /** a gateway that gives up before the slow model has answered: 504; and the URL of its request counts */
  readonly hasty: { readonly url: string; readonly model: string; readonly metrics: string };
}

/** The gateway's answers without a client. */
interface Told {
  readonly text: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
}
export type Turn = 'first' | 'second' | 'picture';

export interface ClientStack extends AsyncDisposable {
  readonly served: Served;
  readonly told: Answers;
  /** the same without a limit of tokens */
  readonly complete: Answers;
}
type Answers = Readonly<Record<Turn, Told>>;

const CARDS = ['phi-3-vision-128k-instruct', 'more/phi-3.5-vision-instruct', 'more/phi-4'];
const MODEL = 'Phi-3-vision-128k-instruct';
const SLOW_MODEL = 'Phi-3.5-vision-instruct';
const BROKEN_MODEL = 'Broken-vision';
const WITHOUT_ENGINE = 'Phi-4';
const QUESTIONS = {
  first: 'Which colour has the sky, and why?',
  second: 'And at night?',
  picture: 'What is on this picture?',
};
const MAX_TOKENS = 48;

const Chat = z.object({
  choices: z.tuple([z.object({ message: z.object({ content: z.string() }) })]),
  usage: z.object({ prompt_tokens: z.int(), completion_tokens: z.int() }),
});

/** Gateways with a key over simulated engines, and their answers to the clients' questions. */
export async function startClientStack(): Promise<ClientStack> {
  const folder = temporaryFolder();
  const models = join(folder.path, 'models');
  await mkdir(models);
  for (const card of CARDS) await copyFile(`deploy/models/${card}.yaml`, join(models, `${basename(card)}.yaml`));
  const card = await readFile(`deploy/models/${CARDS[1] ?? ''}.yaml`, 'utf8');
  const broken = card.replace(/^name: .*$/m, `name: ${BROKEN_MODEL}`).replace(/^aliases:\n( +- .*\n)+/m, '');
  await writeFile(join(models, 'broken.yaml'), broken);
  const keyFile = join(folder.path, 'keys.yaml');
  const { stdout, stderr } = await penstock(['keys', 'create', '--file', keyFile, '--id', 'clients']);
  const key = stdout.trim();
  if (key === '') throw new Error(stderr);
  const pictures = await startPictureServer();
  const stack = await startStack({
    launchers: 3,
    gatewayEnv: { GATEWAY_MODELS_DIR: models, GATEWAY_KEYS_FILE: keyFile, GATEWAY_IMAGE_ALLOW: '127.0.0.1' },
    workerEnv: { WORKER_MODELS_DIR: models },
    launcherEnvs: [
      { WORKER_MODEL: MODEL },
      { WORKER_MODEL: SLOW_MODEL, PENSTOCK_SIM_ITL_MS: '1000' },
      // Later than the few tokens of a launcher's test generation.
      { WORKER_MODEL: BROKEN_MODEL, PENSTOCK_SIM_FAULTS: 'error-after=12' },
    ],
  });
  const [gateway] = stack.gateways;
  if (gateway === undefined) throw new Error('the stack has no gateway');
  const settings = { GATEWAY_QUEUE_LIMIT_JOBS: '1', GATEWAY_NO_ENGINE_HOLD_MS: '3600000' };
  const full = await stack.startGateway({ ...settings, GATEWAY_REQUEST_TIMEOUT_MS: '3600000' });
  const crowded = await stack.startGateway({ GATEWAY_BODY_MEMORY_BYTES: '1' });
  const hasty = await stack.startGateway({ GATEWAY_REQUEST_TIMEOUT_MS: '400', GATEWAY_SCORE_TIMEOUT_MS: '400' });

  const post = (url: string, body: object): ReturnType<typeof call> =>
    call(`${url}/v1/chat/completions`, { temperature: 0, ...body }, { authorization: `Bearer ${key}` });
  // Without a time limit, which `fetch` has: after 5 minutes it would leave, and the queue would be empty.
  const waiting = post(full.url, { model: WITHOUT_ENGINE, messages: [{ role: 'user', content: 'I wait.' }] });
  await eventually('a request waits', async () => (await stack.metric('penstock_jobs_added_total', full)) > 0);

  const ask = async (limit: object, ...messages: object[]): Promise<Told> => {
    const answer = Chat.parse(JSON.parse((await post(stack.url, { model: MODEL, messages, ...limit }).ended).body));
    const { prompt_tokens: inputTokens, completion_tokens: outputTokens } = answer.usage;
    return { text: answer.choices[0].message.content, inputTokens, outputTokens };
  };
  const user = (content: string | object[]): object => ({ role: 'user', content });
  const image = dataUri(png(64, 48));
  const withPicture = user([
    { type: 'text', text: QUESTIONS.picture },
    { type: 'image_url', image_url: { url: image } },
  ]);
  const answers = async (limit: object): Promise<Answers> => {
    const first = await ask(limit, user(QUESTIONS.first));
    const said = { role: 'assistant', content: first.text };
    const second = await ask(limit, user(QUESTIONS.first), said, user(QUESTIONS.second));
    return { first, second, picture: await ask(limit, withPicture) };
  };

  return {
    told: await answers({ max_tokens: MAX_TOKENS }),
    complete: await answers({}),
    served: {
      url: stack.url,
      key,
      model: MODEL,
      slowModel: SLOW_MODEL,
      brokenModel: BROKEN_MODEL,
      status: `${gateway.internalUrl}/status`,
      maxTokens: MAX_TOKENS,
      questions: QUESTIONS,
      png: image,
      picture: `${pictures.url}/picture.png`,
      full: { url: full.url, model: WITHOUT_ENGINE },
      crowded: { url: crowded.url },
      hasty: { url: hasty.url, model: SLOW_MODEL, metrics: `${hasty.internalUrl}/metrics` },
    },
    async [Symbol.asyncDispose]() {
      waiting.leave('close');
      await stack[Symbol.asyncDispose]();
      await pictures[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}
