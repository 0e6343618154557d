// An engine for tests of its supervisor: speaks /health and chat on --uds SOCKET or --port N, and misbehaves on demand.
//   --fail TEXT CODE   writes TEXT to stderr and exits with CODE instead of listening
//   --with-core        starts a child in the same group that ignores SIGTERM, as vLLM's engine core outlives its parent
//   --ignore-term      ignores SIGTERM
//   --cold             generation fails until GET /warm
// GET /exit ends it with code 0; GET /freeze leaves /health unanswered from then on; GET /core answers the child's pid.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import process from 'node:process';

const argv = process.argv.slice(2);
/** @param {string} name @param {number} offset */
const after = (name, offset) => argv[argv.indexOf(name) + offset] ?? '';

if (argv.includes('--fail')) {
  process.stderr.write(`${after('--fail', 1)}\n`, () => process.exit(Number(after('--fail', 2))));
} else {
  let cold = argv.includes('--cold');
  let frozen = false;
  if (argv.includes('--ignore-term')) process.on('SIGTERM', () => {});
  const core = argv.includes('--with-core')
    ? spawn('/bin/sh', ['-c', 'trap "" TERM; while :; do sleep 1; done'], { stdio: 'ignore' })
    : undefined;

  /** @type {Record<string, () => [status: number, body: string] | undefined>} */
  const routes = {
    '/health': () => (frozen ? undefined : [200, '']),
    '/v1/chat/completions': () => (cold ? [500, 'still cold'] : [200, '{"choices":[]}']),
    '/warm': () => {
      cold = false;
      return [200, ''];
    },
    '/freeze': () => {
      frozen = true;
      return [200, ''];
    },
    '/core': () => [200, String(core?.pid)],
    '/exit': () => process.exit(0),
  };
  const server = createServer((req, res) => {
    req.resume();
    req.on('end', () => {
      const answer = routes[req.url ?? '']?.();
      if (answer !== undefined) res.writeHead(answer[0]).end(answer[1]);
    });
  });
  if (argv.includes('--uds')) server.listen(after('--uds', 1));
  else server.listen(Number(after('--port', 1)), '127.0.0.1');
}
