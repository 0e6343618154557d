import cors from 'cors';
import type { RequestHandler } from 'express';
import { RESPONSE_HEADERS } from '../openapi/headers.ts';

/** Headers that a page may read: every header that the API's document names. A browser hides all others. */
const EXPOSED = Object.keys(RESPONSE_HEADERS);
/** A browser repeats its preflight after this long. */
const PREFLIGHT_SECONDS = 600;

/**
 * Lets pages of these origins call the API from a browser. A preflight needs no key, because browsers send none with
 * it; the request after it needs one. Refusals carry the headers too, so that a page can read the reason. Other pages
 * get no such headers, and their preflight is a request like any other.
 * @param origins such as `https://chat.example.com`; `*` for all; empty: browsers refuse all pages
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
      // A cache must not give one page the answer for another.
      if (!isOpen) res.vary('Origin');
      if (isOpen || origins.includes(req.headers.origin ?? '')) listed(req, res, next);
      else next();
    },
  ];
}
