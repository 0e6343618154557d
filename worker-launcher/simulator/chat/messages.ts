import { badRequest } from '../http/errors.ts';
import type { ChatTurn } from '../text/prompt.ts';
import { complaints, type BodyProblem } from '../http/pydantic.ts';
import type { SimulatorSettings } from '../command-line/settings.ts';

export interface PictureReference {
  /** undefined if the request has only a name */
  readonly url: string | undefined;
  readonly uuid: string | undefined;
}

export interface Conversation {
  readonly turns: readonly ChatTurn[];
  readonly pictures: readonly PictureReference[];
}

type Part = Readonly<Record<string, unknown>>;
const MAY_BE_SILENT = new Set(['assistant', 'tool', 'function']);

/**
 * Reads `messages`. Roles may have any name, because vLLM writes them into the prompt as they are. Newlines join text
 * parts. Pictures are counted over the entire conversation.
 * @throws ApiError 400 in vLLM's words
 */
export function readMessages(
  messages: readonly unknown[],
  settings: Pick<SimulatorSettings, 'version' | 'isVision' | 'imageLimit' | 'names'>,
): Conversation {
  if (messages.length === 0) {
    throw badRequest('Cannot apply chat template to an empty conversation. Provide at least one message.');
  }
  const pictures: PictureReference[] = [];
  const turns = messages.map((message, index): ChatTurn => {
    if (!isPart(message))
      throw complaints([problem(['messages', index], 'dict_type', 'Input should be a valid dictionary', message)]);
    const { role, content } = message;
    if (typeof role !== 'string') {
      throw complaints([roleProblem(index, message)]);
    }
    if (typeof content === 'string') return { role, text: content };
    if ((content === null || content === undefined) && MAY_BE_SILENT.has(role)) return { role, text: '' };
    if (!Array.isArray(content)) throw complaints(contentProblems(index, role, content));
    const texts: string[] = [];
    for (const part of content) readPart(part, settings, texts, pictures);
    return { role, text: texts.join('\n') };
  });
  if (pictures.length > 0 && !settings.isVision) {
    throw badRequest(`${settings.names[0] ?? ''} is not a multimodal model`);
  }
  if (pictures.length > settings.imageLimit) throw tooMany('image', settings.imageLimit);
  return { turns, pictures };
}

function readPart(
  part: unknown,
  settings: Pick<SimulatorSettings, 'version'>,
  texts: string[],
  pictures: PictureReference[],
): void {
  if (typeof part === 'string') {
    texts.push(part);
    return;
  }
  if (!isPart(part)) throw unknownPart(part);
  if (part['type'] === 'input_audio' || part['type'] === 'audio_url') throw tooMany('audio', 0);
  if (part['type'] === 'video_url') throw tooMany('video', 0);
  if (typeof part['text'] === 'string' && (part['type'] === 'text' || settings.version === '0.33')) {
    texts.push(part['text']);
    return;
  }
  if (part['type'] === 'image_url') {
    pictures.push({ url: pictureUrl(part['image_url']), uuid: textOf(part['uuid']) });
    return;
  }
  if (part['type'] === 'text' || settings.version === '0.32') throw unknownPart(part);
}

function pictureUrl(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isPart(value) ? textOf(value['url']) : undefined;
}

function tooMany(modality: string, limit: number): Error {
  return badRequest(`At most ${limit} ${modality}(s) may be provided in one prompt.`, modality);
}

function unknownPart(part: unknown): Error {
  const shown = JSON.stringify(part).replaceAll('"', "'");
  const kinds = [
    'ChatCompletionContentPartTextParam',
    'ChatCompletionContentPartImageParam',
    'ChatCompletionContentPartInputAudioParam',
    'File',
  ];
  const lines = kinds.map(
    (kind) =>
      `0.${kind}.type\n  Input should be another type [type=literal_error, input_value=${shown}, input_type=dict]`,
  );
  return badRequest([`${kinds.length} validation errors for ValidatorIterator`, ...lines].join('\n'));
}

function roleProblem(index: number, message: Part): BodyProblem {
  const path = ['messages', index, 'ChatCompletionDeveloperMessageParam', 'role'];
  return message['role'] === undefined
    ? problem(path, 'missing', 'Field required', message)
    : problem(path, 'literal_error', "Input should be 'developer'", message['role']);
}

/** pydantic tries each kind of message and complains for each. */
function contentProblems(index: number, role: string, content: unknown): BodyProblem[] {
  return ['Developer', 'System', 'User', 'Assistant', 'Tool', 'Function'].flatMap((kind): BodyProblem[] => {
    const at = (name: string): PropertyKey[] => ['messages', index, `ChatCompletion${kind}MessageParam`, name];
    const expected = kind.toLowerCase();
    const found = [problem(at('content'), 'string_type', 'Input should be a valid string', content)];
    if (kind !== 'Function') found.push(problem(at('content'), 'iterable_type', 'Input should be iterable', content));
    if (expected !== role) {
      found.push({
        ...problem(at('role'), 'literal_error', `Input should be '${expected}'`, role),
        context: `'expected': "'${expected}'"`,
      });
    }
    return found;
  });
}

function problem(path: readonly PropertyKey[], type: string, message: string, input: unknown): BodyProblem {
  return { path, type, message, input };
}

function isPart(value: unknown): value is Part {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
