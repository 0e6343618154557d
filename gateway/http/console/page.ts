import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Request, RequestHandler, Response } from 'express';
import { Failure } from '../../failure.ts';

/** Where the build puts the console. */
export const CONSOLE_FOLDER = fileURLToPath(new URL('../../console', import.meta.url));
/** Names of the files change with their content. */
const CACHED = { maxAge: '365d', immutable: true };

/** The browser loads what this gateway serves, and nothing else; no other page frames it. */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
  'content-type': 'text/html; charset=utf-8',
};

/** The built console: one page, and the files that it loads. */
export interface ConsolePage {
  readonly html: string;
  readonly serveAsset: RequestHandler<{ file: string }>;
}

/** @returns undefined if the folder holds no build */
export function readConsolePage(folder: string): ConsolePage | undefined {
  const [html, root] = [join(folder, 'index.html'), join(folder, 'assets')];
  if (!existsSync(html) || !existsSync(root)) return undefined;
  const files = new Set(readdirSync(root));
  return {
    html: readFileSync(html, 'utf8'),
    serveAsset: ({ params: { file } }, res, next) => {
      if (!files.has(file))
        throw new Failure('route_not_found', `there is no /console/assets/${file.slice(0, 100)} here`);
      res.sendFile(file, { root, ...CACHED }, (error: unknown) => error !== undefined && next(error));
    },
  };
}

/** Whether a browser asks for a page. Programs, and Azure's probe of `/`, name no type or any type. */
export function wantsPage(req: Request): boolean {
  return (req.method === 'GET' || req.method === 'HEAD') && req.accepts(['json', 'html']) === 'html';
}

export function sendPage(res: Response, html: string): void {
  res.vary('accept').set(PAGE_HEADERS).send(html);
}

const HEADINGS: Readonly<Record<string, string>> = {
  route_not_found: 'There is no page at this address.',
  unauthorized: 'This address needs a key, or there is nothing at it.',
};

/** What a browser gets that asks for a path without a page. @returns undefined for other failures and other clients */
export function wrongPathPage(req: Request, { code, status }: Failure) {
  const heading = HEADINGS[code];
  if (heading === undefined || !wantsPage(req)) return undefined;
  const body = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Penstock</title><link rel="icon" href="data:,"></head>
<body><main><h1>${heading}</h1><p>This is Penstock, a gateway for vision-language models. Go to the <a href="/">console</a> or to the <a href="/docs">reference of the API</a>.</p></main></body>
</html>
`;
  return { status, headers: { ...PAGE_HEADERS, vary: 'accept' }, body };
}
