import { JSON_LANGUAGE, PICTURE, print, type Language, type Printed, type PrintedRecord } from './code-print.ts';
import type { ChatBody, Message } from './conversation.ts';

export interface Snippet {
  readonly id: 'curl' | 'node' | 'python' | 'score';
  readonly title: string;
  readonly code: string;
}

interface Place {
  /** of the gateway, such as `http://127.0.0.1:8080` */
  readonly origin: string;
  readonly keys: boolean;
  /** of the card: a model of another task than `chat-completion` takes prompts on `/score` */
  readonly task: string;
}

const FILE = 'picture';
/** What the shell expands in a document without quotes around its mark. */
const SHELL_SIGNS = /[\\$`]/g;

/** A request as code, ready to paste. The key is a variable of the environment, a picture is a file. */
export function snippetsOf(body: ChatBody, place: Place): Snippet[] {
  const kind = pictureKind(body);
  const { messages, model, stream, stream_options, top_k, ...numbers } = body;
  const printed = messages.map(printedMessage);
  const common = { model, messages: printed, ...numbers };
  const streamed = { stream, stream_options: { ...stream_options } };
  return [
    {
      id: 'curl',
      title: 'curl',
      code: curl('/v1/chat/completions', { ...common, top_k, ...streamed }, place, kind, ['-N']),
    },
    { id: 'node', title: 'OpenAI, Node', code: node({ ...common, top_k, stream }, place, kind) },
    { id: 'python', title: 'OpenAI, Python', code: python({ ...common, stream }, top_k, place, kind) },
    {
      id: 'score',
      title: 'Azure /score',
      code: curl('/score', scoreBody(body, printed, place), place, kind, [
        '-H',
        `'azureml-model-deployment: ${model}'`,
      ]),
    },
  ];
}

function curl(
  path: string,
  body: PrintedRecord,
  { origin, keys }: Place,
  kind: string | undefined,
  more: readonly string[],
): string {
  const key = keys ? ['-H', '"authorization: Bearer $PENSTOCK_KEY"'] : [];
  const words = ['curl', '-sS', ...more, `${origin}${path}`, ...key, '-H', "'content-type: application/json'"];
  const command = `${words.join(' ')} --data-binary @-`;
  if (kind === undefined) return `${command} <<'JSON'\n${print(body, JSON_LANGUAGE)}\nJSON\n`;
  const escaped: Language = {
    ...JSON_LANGUAGE,
    picture: `"data:${kind};base64,$PICTURE"`,
    string: (json) => json.replace(SHELL_SIGNS, '\\$&'),
  };
  const read = `PICTURE=$(base64 < ${fileOf(kind)} | tr -d '\\n')\n`;
  return `${read}${command} <<JSON\n${print(body, escaped)}\nJSON\n`;
}

function node(body: PrintedRecord, { origin, keys }: Place, kind: string | undefined): string {
  const language: Language = {
    ...JSON_LANGUAGE,
    bareNames: true,
    picture: '`data:' + String(kind) + ';base64,${picture}`',
  };
  const imports = kind === undefined ? '' : "import { readFileSync } from 'node:fs';\n";
  const read = kind === undefined ? '' : `const picture = readFileSync('${fileOf(kind)}', 'base64');\n`;
  const apiKey = keys ? 'process.env.PENSTOCK_KEY' : "'none'";
  return `${imports}import OpenAI from 'openai';

${read}const client = new OpenAI({ baseURL: '${origin}/v1', apiKey: ${apiKey} });
const stream = await client.chat.completions.create(${print(body, language)});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
`;
}

function python(
  body: PrintedRecord,
  topK: number | undefined,
  { origin, keys }: Place,
  kind: string | undefined,
): string {
  const language: Language = {
    true: 'True',
    false: 'False',
    null: 'None',
    bareNames: false,
    picture: `f"data:${kind};base64,{picture}"`,
    string: (json) => json,
  };
  // The SDK passes fields that OpenAI's API lacks only in here.
  const extra = topK === undefined ? {} : { extra_body: { top_k: topK } };
  const words = Object.entries({ ...body, ...extra }).flatMap(([name, value]) =>
    value === undefined ? [] : [`    ${name}=${print(value, language, '    ')},`],
  );
  const imports = `${kind === undefined ? '' : 'import base64\n'}${keys ? 'import os\n' : ''}`;
  const read = kind === undefined ? '' : `picture = base64.b64encode(open("${fileOf(kind)}", "rb").read()).decode()\n`;
  const apiKey = keys ? 'os.environ["PENSTOCK_KEY"]' : '"none"';
  return `${imports}from openai import OpenAI

${read}client = OpenAI(base_url="${origin}/v1", api_key=${apiKey})
stream = client.chat.completions.create(
${words.join('\n')}
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
`;
}

/** Azure's form, which does not stream: the length of the answer has another name. */
function scoreBody(
  { max_tokens, temperature, top_p, top_k, seed, messages }: ChatBody,
  printed: Printed[],
  { task }: Place,
): PrintedRecord {
  const parameters = { max_new_tokens: max_tokens, temperature, top_p, top_k, seed };
  const prompts = messages.flatMap(({ role, content }) =>
    role === 'user' && typeof content === 'string' ? [content] : [],
  );
  const input = task === 'chat-completion' ? printed : prompts.slice(-1);
  return { input_data: { input_string: input, parameters } };
}

function printedMessage({ role, content }: Message): PrintedRecord {
  if (typeof content === 'string') return { role, content };
  return {
    role,
    content: content.map((part): PrintedRecord =>
      part.type === 'text' ? { type: 'text', text: part.text } : { type: 'image_url', image_url: { url: PICTURE } },
    ),
  };
}

/** @returns the media type of the request's first picture */
function pictureKind({ messages }: ChatBody): string | undefined {
  const parts = messages.flatMap(({ content }) => (typeof content === 'string' ? [] : content));
  const picture = parts.find((part) => part.type === 'image_url');
  return picture?.type === 'image_url' ? /^data:([\w/+-]+)/.exec(picture.image_url.url)?.[1] : undefined;
}

function fileOf(kind: string): string {
  return `${FILE}.${kind === 'image/jpeg' ? 'jpg' : kind.replace('image/', '')}`;
}
