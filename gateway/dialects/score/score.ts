import { z } from 'zod';
import type { AnswerForm, ChatRequest, Prompt } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import type { ModelCard } from '#contract/model-card';
import type { AnswerFacts, Dialect } from '../dialect.ts';
import { IgnoredNames, fieldsOf, got, isAbsent, isObject, kind } from '../reading/fields.ts';
import { BODY, HALF_CHARACTER, LIMITS, checkBatch, checkLimit } from '../reading/limits.ts';
import { readMessages } from '../reading/messages.ts';
import { isPrompt } from '../openai/completions.ts';
import { describeScore } from './describe.ts';
import { renderScoreFailure, type ScoreErrors } from './failure.ts';
import { readParameters } from './parameters.ts';

const INPUT = 'input_data.input_string';
const CHAT_SHAPE = `{"input_data": {"input_string": [{"role": "user", "content": …}], "parameters": {…}}}`;
const TEXT_SHAPE = `{"input_data": {"input_string": ["…"], "parameters": {…}}}`;

const ChatAnswer = z.object({
  choices: z.tuple([z.object({ message: z.object({ content: z.string().nullish() }) })]).rest(z.unknown()),
});
const TextAnswer = z.object({ choices: z.array(z.object({ index: z.int(), text: z.string() })) });

/**
 * `POST /score` of an Azure ML managed online endpoint. Request shapes and parameters are those of the container of
 * Azure's catalog models, by the task of the model's card. Failures are those of the endpoint in front of it.
 * @param options.deploymentName value of the header `azureml-model-deployment` if no other deployment was chosen
 */
export function createAzureScore(options: { readonly deploymentName: string; readonly errors?: ScoreErrors }): Dialect {
  const { deploymentName, errors = 'endpoint' } = options;
  return {
    name: 'azure_score',
    errorSchema: 'AzureError',
    needsCard: true,
    headers: { 'azureml-model-deployment': deploymentName, 'azureml-model-session': deploymentName },
    parse: (body, said) => (said?.card?.task === 'text-generation' ? parsePrompts(body) : parseChat(body, said?.card)),
    durable: true,
    renderAnswer: (engineBody, { form, modelMs }) => ({
      status: 200,
      headers: { 'content-type': 'application/json', 'ms-azureml-model-time': String(Math.round(modelMs)) },
      body: JSON.stringify(answerOf(engineBody, form)),
    }),
    renderFailure: (failure) => renderScoreFailure(failure, errors),
    /** This route never streams. */
    renderStreamFailure: () => '',
    describe: (described) => describeScore(described, errors),
  };
}

/** One conversation: `input_data` with `input_string` and `parameters`. Parameters one level higher have no effect. */
function parseChat(body: unknown, card: ModelCard | undefined): ChatRequest {
  const ignored = new IgnoredNames();
  const inputData = readInputData(body, ignored, CHAT_SHAPE);
  const input = inputData['input_string'];
  if (Array.isArray(input)) refuseLists(input, card?.name);
  else throw shape(INPUT, isAbsent(input) ? 'a list of messages, and is missing' : 'a list of messages', CHAT_SHAPE);
  const task = card?.modalities.input.includes('image') === false ? 'chat' : 'chat-with-images';
  const at = 'input_data.parameters';
  const parameters = readParameters(parametersOf(inputData, at, CHAT_SHAPE), at, task, ignored);
  const messages = readMessages(input, INPUT, ignored);
  const fixed = { stream: false, includeUsage: false, messagesParam: INPUT };
  return { ...fixed, ...parameters, messages, ignored: ignored.list() };
}

/** Prompts, each of which is continued: in `input_string`, or `input_data` is the list and `params` is beside it. */
function parsePrompts(body: unknown): ChatRequest {
  const ignored = new IgnoredNames();
  const isList = isObject(body) && Array.isArray(body['input_data']);
  const at = isList ? 'input_data' : INPUT;
  const inputData = isList ? readList(body, ignored) : readInputData(body, ignored, TEXT_SHAPE);
  const prompts = readPrompts(inputData['input_string'], at);
  const from = isList ? 'params' : 'input_data.parameters';
  const parameters = readParameters(parametersOf(inputData, from, TEXT_SHAPE), from, 'text-generation', ignored);
  // Only the first of several answers to a prompt would be returned.
  if (parameters.choices > 1) ignored.add('parameters.n');
  const fixed = { stream: false, includeUsage: false, messagesParam: at, messages: [], choices: 1 };
  const answerForm: AnswerForm = isList ? 'list' : 'table';
  return { ...parameters, ...fixed, prompts, answerForm, ignored: ignored.list() };
}

/** Finds the object that holds everything. The other published shapes are for other tasks or servers. */
function readInputData(body: unknown, ignored: IgnoredNames, expected: string): Readonly<Record<string, unknown>> {
  if (!isObject(body)) throw shape('the body', 'an object', expected);
  checkLimit(LIMITS.fields, Object.keys(body).length, BODY);
  const { input_data: inputData, ...outer } = body;
  if (isAbsent(inputData)) {
    const instead = ['inputs', 'messages'].find((name) => name in outer);
    const besides = instead === undefined ? '' : `; ${instead} is not supported`;
    throw shape('input_data', `an object, and is missing${besides}`, expected);
  }
  if (!isObject(inputData)) throw shape('input_data', 'an object', expected);
  ignoreBut([], outer, '', ignored);
  ignoreBut(['input_string', 'parameters'], inputData, 'input_data.', ignored);
  return inputData;
}

function readList(body: Readonly<Record<string, unknown>>, ignored: IgnoredNames): Readonly<Record<string, unknown>> {
  ignoreBut(['input_data', 'params'], body, '', ignored);
  return { input_string: body['input_data'], parameters: body['params'] };
}

function parametersOf(
  { parameters = {} }: Readonly<Record<string, unknown>>,
  at: string,
  expected: string,
): Readonly<Record<string, unknown>> {
  if (isAbsent(parameters)) return {};
  if (isObject(parameters)) return parameters;
  throw shape(at, 'an object', expected);
}

function ignoreBut(
  known: readonly string[],
  object: Readonly<Record<string, unknown>>,
  prefix: string,
  ignored: IgnoredNames,
): void {
  for (const [name, value] of fieldsOf(object, prefix === '' ? BODY : prefix.slice(0, -1)))
    if (!known.includes(name) && !isAbsent(value)) ignored.add(prefix + name);
}

function refuseLists(input: readonly unknown[], card: string | undefined): void {
  if (!input.some((item) => Array.isArray(item))) {
    if (input.some((item) => typeof item === 'string'))
      throw shape(INPUT, 'a list of messages, not of texts', CHAT_SHAPE);
    return;
  }
  if (input.length === 1) throw shape(INPUT, 'one conversation: a list of messages, not a list of lists', CHAT_SHAPE);
  const holds = `takes 1 conversation per request; ${INPUT} holds ${input.length}`;
  const message = `${card ?? 'this model'} ${holds}: send each in a request of its own`;
  throw new Failure('batch_not_supported', message, {
    param: INPUT,
    asked: input.length,
    allowed: 1,
    ...(card === undefined ? {} : { card }),
  });
}

function readPrompts(value: unknown, at: string): readonly [Prompt, ...Prompt[]] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [];
  checkBatch(list.length, at);
  const wrong = list.findIndex((item) => typeof item !== 'string' || !isPrompt(item));
  const [first, ...more] = list.filter(isPrompt);
  if (first !== undefined && wrong === -1) return [first, ...more];
  if (wrong === -1)
    throw shape(at, `a list of prompts, at least one${Array.isArray(value) ? '' : kind(value)}`, TEXT_SHAPE);
  const param = `${at}[${wrong}]`;
  const fault = list[wrong];
  if (typeof fault === 'string' && fault !== '')
    throw new Failure('invalid_request', `${param} ${HALF_CHARACTER}`, { param });
  throw shape(param, `a prompt: a text, not empty${got(fault)}`, TEXT_SHAPE);
}

function shape(param: string, wanted: string, expected: string): Failure {
  const text = `${param} must be ${wanted}; expected input_data.input_string as in ${expected}`;
  return new Failure('invalid_request', text, param === 'the body' ? {} : { param });
}

/** The texts as the model gave them, untrimmed; an answer without text is empty. */
function answerOf(engineBody: Buffer, form: AnswerFacts['form']): unknown {
  try {
    const answer: unknown = JSON.parse(engineBody.toString('utf8'));
    if (form === undefined) return { output: ChatAnswer.parse(answer).choices[0].message.content ?? '' };
    const choices = TextAnswer.parse(answer).choices.toSorted((a, b) => a.index - b.index);
    const texts = choices.map(({ text }) => text);
    return form === 'list' ? texts : [Object.fromEntries(texts.map((text, index) => [String(index), text]))];
  } catch (cause) {
    throw new Failure('engine_failed', 'the model sent an answer that cannot be read', { cause });
  }
}
