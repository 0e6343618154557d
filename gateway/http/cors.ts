import cors from 'cors';
import type { RequestHandler } from 'express';

/** What a page may read of an answer, besides its body; a browser hides every other header. */
const EXPOSED = ['x-request-id', 'retry-after', 'x-should-retry', 'x-penstock-ignored'];
/** A browser asks anew after this long. */
const PREFLIGHT_SECONDS = 600;

/**
 * Lets pages of these origins call the API from a browser. A preflight is answered here, without a key, as browsers send
 * none with it; what follows needs one like any request. Refusals carry the headers too, so that a page can read why.
 * @param origins such as `https://chat.example.com`; `*` for all; none: browsers keep pages out, as ever
 */
export function allowOrigins(origins: readonly string[]): RequestHandler[] {
  if (origins.length === 0) return [];
  return [
    cors({
      origin: origins.includes('*') ? '*' : [...origins],
      methods: ['GET', 'POST'],
      exposedHeaders: EXPOSED,
      maxAge: PREFLIGHT_SECONDS,
    }),
  ];
}
