import type { Request, RequestHandler, Response } from 'express';
import type { ChatRequest } from '../request/chat.ts';
import type { ModelCard } from '#contract/model-card';
import type { Deliver } from '../answer/deliver.ts';
import { asksFor, type Asked } from '../answer/question.ts';
import type { Limits } from '../limits/limits.ts';
import type { StructureLimits } from '../intake/json-structure.ts';
import { PictureBytes } from '../intake/picture-bytes.ts';
import type { Prepare } from '../request/prepare.ts';
import { HttpClientStream } from './client-stream.ts';
import { patienceOf } from './deadline.ts';
import { jsonBody } from './json-body.ts';
import { answerNotes, notePrepared, noteRequest, noteWait, type NotesDeps } from './notes.ts';
import { requestContext } from './request-context.ts';
import { withinLimits } from './within-limits.ts';

export interface GenerateDeps extends NotesDeps {
  readonly structure: StructureLimits;
  readonly prepare: Prepare;
  readonly deliver: Deliver;
  readonly limits: Pick<Limits, 'charge'>;
}

/**
 * Serves a request in the dialect of its route: parse, then answer. Failures go to the error middleware.
 * @param cardOf gives the model of a route whose bodies name none
 */
export function chatHandler(
  deps: GenerateDeps,
  timeoutMs: number,
  cardOf?: (res: Response) => ModelCard,
): RequestHandler {
  return async (req, res) => {
    const context = requestContext(res);
    // In two steps, so that the caller's request and its pictures are released before the long wait for an answer.
    const asked = await read(deps, req, res, timeoutMs, cardOf?.(res));
    const client = new HttpClientStream(res, context.phases);
    try {
      const { dialect: render, signal } = context;
      await withinLimits(deps.limits, res, asked, answerNotes(deps, context), (notes) =>
        deps.deliver(asked, { client, render, notes, signal }),
      );
    } finally {
      noteWait(deps, context, asked.question.kind);
    }
  };
}

/** @throws Failure of the body, of the card, of a picture */
async function read(
  { structure, prepare }: GenerateDeps,
  req: Request,
  res: Response,
  timeoutMs: number,
  card: ModelCard | undefined,
): Promise<Asked> {
  const context = requestContext(res);
  const { dialect, chosen, caller, memory, signal, arrivedAt } = context;
  const said = { headers: req.headers, ...(card === undefined ? {} : { card }) };
  const pictures = new PictureBytes(memory);
  const model = card === undefined ? chosen : { model: card.name };
  const request = choose(dialect.parse(jsonBody(req, structure, pictures), said), model);
  noteRequest(res, request);
  const { deadlineMs, ...patience } = patienceOf(req.headers, request.stream, timeoutMs);
  const prepared = await prepare(request, pictures, caller, signal);
  notePrepared(res, prepared);
  const deadlineAt = arrivedAt + deadlineMs;
  return asksFor(request, prepared, { keyId: caller.id, memory, ...patience, deadlineMs, deadlineAt });
}

/** Sets the chosen deployment's model, whatever the body's `model` is. */
function choose(request: ChatRequest, chosen: { readonly model?: string } | undefined): ChatRequest {
  if (chosen === undefined) return request;
  const { model: _, ...rest } = request;
  return { ...rest, ...chosen };
}
