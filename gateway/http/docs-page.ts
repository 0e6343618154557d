import { fileURLToPath } from 'node:url';
import type { RequestHandler } from 'express';
import { Failure } from '../failure.ts';

/** Files of Swagger UI, which the build copies: no part of the page is loaded from another host. */
const FOLDER = fileURLToPath(new URL('./docs', import.meta.url));
const FILES: readonly string[] = ['swagger-ui.css', 'swagger-ui-bundle.js'];
const START = 'start.js';
const CACHED = { maxAge: '1d' };

/** Its styles are inline, its icons are data URIs; the browser refuses everything else. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Penstock</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/${FILES[0] ?? ''}"></head>
<body><form id="ask" hidden><p><label>This gateway needs a key: <input id="key" type="password" autocomplete="off" required></label> <button>Show the reference</button></p><p id="refusal" role="alert"></p></form><div id="page"></div><script src="/docs/${FILES[1] ?? ''}"></script><script src="/docs/${START}"></script></body>
</html>
`;
/** The document needs a key where keys are configured. The page keeps what is typed in its memory alone. */
const SCRIPT = `let key = '';
const [form, field, refusal] = ['ask', 'key', 'refusal'].map((id) => document.getElementById(id));
async function show() {
  const answer = await fetch('/openapi.json', key === '' ? {} : { headers: { authorization: 'Bearer ' + key } });
  form.hidden = answer.ok;
  if (answer.ok) {
    SwaggerUIBundle({ spec: await answer.json(), dom_id: '#page', docExpansion: 'none', validatorUrl: null, requestInterceptor: withKey });
  } else if (key !== '' || answer.status !== 401) {
    refusal.textContent = await answer.json().then(({ error }) => error.message, () => 'The answer has status ' + answer.status);
  }
}
function withKey(request) {
  const isOurs = new URL(request.url, location.href).origin === location.origin;
  if (key !== '' && isOurs && request.headers.Authorization === undefined) request.headers.Authorization = 'Bearer ' + key;
  return request;
}
form.addEventListener('submit', (event) => {
  event.preventDefault();
  key = field.value.trim();
  show();
});
show();
`;

/** `GET /docs`: the reference of the API for a browser, rendered from `/openapi.json`. It needs no key itself. */
export const docsPage: RequestHandler = (_req, res) => {
  res.set({ 'content-security-policy': POLICY, 'x-frame-options': 'DENY' }).type('html').send(PAGE);
};

/** Serves its scripts and styles. @throws Failure `route_not_found` */
export const docsAsset: RequestHandler<{ file: string }> = ({ params: { file } }, res, next) => {
  if (file === START) res.type('text/javascript').send(SCRIPT);
  else if (FILES.includes(file))
    res.sendFile(file, { root: FOLDER, ...CACHED }, (error: unknown) => error !== undefined && next(error));
  else throw new Failure('route_not_found', `there is no /docs/${file.slice(0, 100)} here`);
};
