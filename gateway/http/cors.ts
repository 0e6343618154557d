import cors from 'cors';
import type { RequestHandler } from 'express';
import { RESPONSE_HEADERS } from '../openapi/headers.ts';

/** What a page may read of an answer, besides its body: every header that the API's document names; a browser hides all others. */
const EXPOSED = Object.keys(RESPONSE_HEADERS);
/** A browser asks anew after this long. */
const PREFLIGHT_SECONDS = 600;

/**
 * Lets pages of these origins call the API from a browser. A preflight is answered here, without a key, as browsers send
 * none with it; what follows needs one like any request. Refusals carry the headers too, so that a page can read why.
 * Other pages are told nothing of it: their preflight is a request like any other.
 * @param origins such as `https://chat.example.com`; `*` for all; none: browsers keep pages out, as ever
 */
export function allowOrigins(origins: readonly string[]): RequestHandler[] {
  if (origins.length === 0) return [];
  const isOpen = origins.includes('*');
  const listed = cors({
    origin: isOpen ? '*' : [...origins],
    methods: ['GET', 'POST'],
    exposedHeaders: EXPOSED,
    maxAge: PREFLIGHT_SECONDS,
  });
  return [
    (req, res, next) => {
      // A cache must not show one page the answer to another.
      if (!isOpen) res.vary('Origin');
      if (isOpen || origins.includes(req.headers.origin ?? '')) listed(req, res, next);
      else next();
    },
  ];
}
