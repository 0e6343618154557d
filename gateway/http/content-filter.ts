import type { AnswerFilter } from '../answer/answer-filter.ts';
import type { Asked } from '../answer/question.ts';
import { Failure } from '../failure.ts';
import type { PictureBytes } from '../intake/picture-bytes.ts';
import type { ChatRequest } from '../request/chat.ts';
import type { Verdict } from '../request/content-filter.ts';
import type { Prepared } from '../request/prepare.ts';
import type { Clock } from '#runtime/clock';
import type { ContentSafety } from '../safety/content-safety.ts';
import { promptPictures, promptTexts } from '../safety/prompt-content.ts';
import type { Content } from '../safety/provider.ts';
import { refuseTokenFields } from '../safety/token-fields.ts';
import type { RequestContext } from './request-context.ts';

/** Judges the prompt of one request, and makes the filter of its answer. */
export class RequestFilter {
  readonly #safety: ContentSafety;
  readonly #clock: Clock;
  /** absent once it was judged: its words and pictures are not kept for the long wait that follows */
  #prompt: Content | undefined;

  /** @throws Failure `invalid_request`, `unsupported_parameter` for what no filter can read */
  constructor(
    safety: ContentSafety,
    clock: Clock,
    { request, prepared, pictures }: { request: ChatRequest; prepared: Prepared; pictures: PictureBytes },
  ) {
    this.#safety = safety;
    this.#clock = clock;
    if (safety.checks('answer')) refuseTokenFields(request);
    if (!safety.checks('prompt')) return;
    const model = prepared.card.name;
    const content = { texts: promptTexts(request), pictures: promptPictures(prepared, pictures) };
    this.#prompt = { direction: 'prompt', model, ...content };
  }

  /**
   * Judges the prompt, before the request has a place in the queue.
   * @returns the filter of the answer
   * @throws Failure `content_filter`, `safety_unavailable`, of a picture that the service does not take
   */
  async judged({ question: { model } }: Asked, context: RequestContext): Promise<AnswerFilter> {
    const { signal, caller, fields, phases } = context;
    const timed = async (content: Content, stop: AbortSignal): Promise<Verdict> => {
      const startedAt = this.#clock();
      try {
        return await this.#safety.check(content, caller.id, stop);
      } finally {
        const name = content.direction === 'prompt' ? 'promptCheckMs' : 'answerCheckMs';
        phases[name] = (phases[name] ?? 0) + this.#clock() - startedAt;
      }
    };
    const content = this.#prompt;
    this.#prompt = undefined;
    const prompt = content === undefined ? undefined : await timed(content, signal);
    if (prompt?.isBlocked === true) {
      fields['filtered'] = 'prompt';
      throw new Failure('content_filter', 'the content filter blocked the prompt: change it and try again', {
        param: 'prompt',
        filterResults: prompt.results,
      });
    }
    return {
      prompt,
      judge: this.#safety.checks('answer')
        ? (texts, stop) => timed({ direction: 'answer', model, texts, pictures: [] }, stop)
        : undefined,
      windowCharacters: this.#safety.windowCharacters,
      blocked: () => {
        fields['filtered'] = 'answer';
      },
    };
  }
}
