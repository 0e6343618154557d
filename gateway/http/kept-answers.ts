import type { Request, RequestHandler, Response } from 'express';
import type { Audit, Who } from '#runtime/audit';
import type { Kept } from '../durable/kept-answers.ts';
import type { Page } from '../durable/input-items.ts';
import { Failure } from '../failure.ts';
import type { BodyMemory } from '../intake/body-memory.ts';
import { HttpClientStream } from './client-stream.ts';
import { requestContext } from './request-context.ts';

/** The paths of kept answers, `/v1/responses/{id}`, as OpenAI's API has them. */
interface Handlers {
  /** the response, or its events with `?stream=true&starting_after=N` */
  readonly get: RequestHandler;
  readonly cancel: RequestHandler;
  readonly remove: RequestHandler;
  /** what it was asked, with `?limit=N&order=asc&after=ID` */
  readonly inputItems: RequestHandler;
}

export function keptAnswerHandlers(kept: Kept, memory: BodyMemory, audit: Audit): Handlers {
  const find = (req: Request, res: Response) => kept.find(idOf(req), requestContext(res).caller.id);
  return {
    get: async (req, res) => {
      const found = await find(req, res);
      const { phases, signal } = requestContext(res);
      const { stream, after } = wanted(req);
      if (stream) await kept.stream(found, after, new HttpClientStream(res, phases), signal);
      else json(res, kept.read(found));
    },
    inputItems: async (req, res) => {
      const allowance = memory.open(requestContext(res).caller.id);
      res.once('close', () => allowance.release());
      const pieces = await kept.inputItems(await find(req, res), pageOf(req), allowance);
      res.setHeader('content-type', 'application/json');
      res.end(Buffer.concat(pieces));
    },
    cancel: async (req, res) => json(res, await kept.cancel(await find(req, res), requestContext(res).caller.id)),
    remove: async (req, res) => {
      const found = await find(req, res);
      await kept.remove(found);
      const who: Who = { kind: 'key', name: requestContext(res).caller.id };
      audit.record({ act: 'answer.deleted', what: found.id, who, result: 'done' });
      json(res, JSON.stringify({ id: found.id, object: 'response', deleted: true }));
    },
  };
}

function json(res: Response, body: string): void {
  res.setHeader('content-type', 'application/json');
  res.end(body);
}

function idOf(req: Request): string {
  const { response_id: id } = req.params;
  return typeof id === 'string' ? id : '';
}

/** @throws Failure `invalid_request` naming the parameter */
function wanted({ query }: Request): { readonly stream: boolean; readonly after: number } {
  refuseForms(query, ['stream', 'starting_after']);
  const { stream = 'false', starting_after: after } = query;
  if (stream !== 'true' && stream !== 'false') throw bad('stream', 'must be true or false');
  if (after === undefined) return { stream: stream === 'true', after: -1 };
  if (typeof after !== 'string' || !/^\d{1,9}$/.test(after))
    throw bad('starting_after', 'must be the number of an event, 0 or more');
  if (stream !== 'true') throw bad('starting_after', 'needs stream=true');
  return { stream: true, after: Number(after) };
}

/** Such as `limit[]`. @throws Failure `invalid_request` naming the parameter */
function refuseForms(query: Request['query'], names: readonly string[]): void {
  const odd = Object.keys(query).find((name) =>
    names.some((one) => name.startsWith(one) && /^\W/.test(name.slice(one.length))),
  );
  if (odd !== undefined) throw bad(odd.slice(0, 100), `must be one of ${names.join(', ')}`);
}

/** @throws Failure `invalid_request` naming the parameter */
function pageOf({ query }: Request): Page {
  refuseForms(query, ['limit', 'order', 'after', 'before']);
  const { limit = '20', order = 'desc', after } = query;
  if (typeof limit !== 'string' || !/^([1-9]\d?|100)$/.test(limit))
    throw bad('limit', 'must be a number from 1 to 100');
  if (order !== 'asc' && order !== 'desc') throw bad('order', 'must be asc or desc');
  if (after !== undefined && typeof after !== 'string') throw bad('after', 'must be the id of an item');
  return { limit: Number(limit), order, after };
}

function bad(param: string, problem: string): Failure {
  return new Failure('invalid_request', `${param} ${problem}`, { param });
}
