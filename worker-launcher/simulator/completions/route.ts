import { GatheredAnswer } from '../generate/gathered-answer.ts';
import { generate } from '../generate/generate.ts';
import { readJsonBody } from '../http/body.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Simulator } from '../simulator.ts';
import { completionBody, CompletionStream, echoOf } from './answer.ts';
import { prepareCompletion } from './request.ts';

/** `POST /v1/completions`. */
export async function handleCompletions(exchange: Exchange, simulator: Simulator): Promise<void> {
  const { engine, model } = simulator;
  const request = prepareCompletion(await readJsonBody(exchange.req), exchange.header('x-request-id'), engine);
  generate(exchange, simulator, request, {
    events: (out) => new CompletionStream(out, request, model),
    body: () => {
      const openings = request.sequences.map((_, index) => echoOf(request, index));
      return new GatheredAnswer(openings, (...answer) => completionBody(request, model, ...answer));
    },
  });
}
