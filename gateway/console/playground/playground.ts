import type { ConsoleModel } from '#contract/console';
import { isModels } from '../data.ts';
import type { Gateway } from '../gateway.ts';
import type { Refusal } from '../refusal.ts';
import { Watched } from '../watched.ts';
import { isOver, SENT } from './answer.ts';
import { ask } from './ask.ts';
import { chatBody, picturesIn, type ChatBody, type Turn } from './conversation.ts';
import { NOTHING_TYPED, parameterProblem, parametersOf, type ParameterName, type Typed } from './parameters.ts';
import { choosePictures, type Picture } from './pictures.ts';

export interface PlaygroundState {
  /** undefined: not read so far */
  readonly models: readonly ConsoleModel[] | undefined;
  readonly model: ConsoleModel | undefined;
  readonly system: string;
  readonly text: string;
  readonly pictures: readonly Picture[];
  /** what became of a picture, in a sentence */
  readonly note: string;
  readonly typed: Typed;
  readonly turns: readonly Turn[];
  /** of the last question, if it has no word of an answer; or of the list of models */
  readonly refusal: Refusal | undefined;
  /** the last question that was sent, for the code */
  readonly lastBody: ChatBody | undefined;
}
type Written = Partial<Pick<PlaygroundState, 'system' | 'text' | 'typed'>>;

const EMPTY: PlaygroundState = {
  models: undefined,
  model: undefined,
  system: '',
  text: '',
  pictures: [],
  note: '',
  typed: NOTHING_TYPED,
  turns: [],
  refusal: undefined,
  lastBody: undefined,
};
/** Stands in the code for a question that is not written. */
const EXAMPLE = 'Say hello.';

/** A conversation with a model: what is written, sent and answered. */
export class Playground {
  readonly state = new Watched(EMPTY);
  readonly #gateway: Gateway;
  #running: AbortController | undefined;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  async loadModels(): Promise<void> {
    const found = await this.#gateway.get('/console/models', isModels);
    if (!found.ok) return this.#set({ refusal: found.refusal });
    const { models } = found.value;
    const chosen = models.find(({ name }) => name === this.state.value.model?.name) ?? models[0];
    this.#set({ models, model: chosen, refusal: undefined });
  }

  write(written: Written): void {
    this.#set(written);
  }

  setParameter(name: ParameterName, value: string): void {
    this.#set({ typed: { ...this.state.value.typed, [name]: value } });
  }

  /** Another model begins another conversation, because its rules differ. */
  chooseModel(name: string): void {
    const model = this.state.value.models?.find((one) => one.name === name);
    if (model === undefined || name === this.state.value.model?.name) return;
    this.clear();
    this.#set({ model });
  }

  /** Files that were dropped, pasted or chosen. @param read reads one as a data URI */
  async addPictures<T extends { name: string; type: string; size: number }>(
    files: readonly T[],
    read: (file: T) => Promise<string>,
  ): Promise<void> {
    const choose = (): ReturnType<typeof choosePictures> | undefined => {
      const { model, turns, pictures: held } = this.state.value;
      if (model === undefined || files.length === 0) return undefined;
      return choosePictures(files, {
        name: model.name,
        most: model.images,
        sent: picturesIn(turns),
        held: held.length,
      });
    };
    const first = choose();
    if (first === undefined || first.take === 'none') return this.#set({ note: first?.note ?? '' });
    const added = files.map(async (file) => ({ name: file.name, bytes: file.size, dataUri: await read(file) }));
    const pictures = await Promise.all(added).catch(() => undefined);
    if (pictures === undefined) return this.#set({ note: 'The file could not be read.' });
    // Others may have come while these were read.
    const { take, note } = choose() ?? first;
    if (take === 'none') return this.#set({ note });
    this.#set({ pictures: take === 'replace' ? pictures : [...this.state.value.pictures, ...pictures], note });
  }

  removePictures(): void {
    this.#set({ pictures: [], note: '' });
  }

  /** @returns what keeps the question from being sent, in a sentence */
  get problem(): string | undefined {
    const { model, text, pictures, typed } = this.state.value;
    if (model === undefined) return 'There is no model to ask.';
    const wrong = parametersOf(model).map((parameter) => parameterProblem(parameter, typed[parameter.name]));
    const first = wrong.find((problem) => problem !== undefined);
    if (first !== undefined) return first;
    return text.trim() === '' && pictures.length === 0 ? 'Write a question.' : undefined;
  }

  get isRunning(): boolean {
    const last = this.state.value.turns.at(-1);
    return last !== undefined && !isOver(last.answer);
  }

  /** The request that would be sent, or was sent last: for the code. */
  get body(): ChatBody | undefined {
    const { model, system, turns, text, pictures, typed, lastBody } = this.state.value;
    if (model === undefined) return undefined;
    const isWritten = text.trim() !== '' || pictures.length > 0;
    if (!isWritten && lastBody !== undefined && turns.length > 0) return lastBody;
    return chatBody(model, system, turns, { text: isWritten ? text : EXAMPLE, pictures }, typed);
  }

  async send(): Promise<void> {
    const { model, system, turns, text, pictures, typed } = this.state.value;
    if (model === undefined || this.isRunning || this.problem !== undefined) return;
    const question = { text, pictures };
    const body = chatBody(model, system, turns, question, typed);
    const running = new AbortController();
    this.#running = running;
    this.#set({ turns: [...turns, { question, answer: SENT }], text: '', pictures: [], note: '', refusal: undefined });
    await ask(this.#gateway, body, running.signal, (answer) => {
      // A cleared conversation has no place for it.
      if (this.#running === running) this.#set({ turns: [...turns, { question, answer }], lastBody: body });
    });
    if (this.#running === running) this.#takeBack(turns);
  }

  stop(): void {
    this.#running?.abort();
  }

  clear(): void {
    this.stop();
    this.#running = undefined;
    const { text, pictures, refusal, lastBody, turns, note } = EMPTY;
    this.#set({ text, pictures, refusal, lastBody, turns, note });
  }

  /** Nothing stays of a caller whose key is forgotten. */
  forget(): void {
    this.clear();
    this.state.set(EMPTY);
  }

  /** A question without a word of an answer is written again, so that it can be changed. */
  #takeBack(before: readonly Turn[]): void {
    const last = this.state.value.turns.at(-1);
    if (last === undefined || last.answer.text !== '' || last.answer.state === 'complete') return;
    const { question, answer } = last;
    const isNew = this.state.value.text === '' && this.state.value.pictures.length === 0;
    this.#set({ turns: before, refusal: answer.refusal, ...(isNew ? question : {}) });
  }

  #set(changed: Partial<PlaygroundState>): void {
    this.state.set({ ...this.state.value, ...changed });
  }
}
