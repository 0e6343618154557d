import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '#runtime/free-port';
import { png } from './requests.mjs';

const ENTRY = fileURLToPath(new URL('../../dist/worker-launcher/simulator/main.js', import.meta.url));
const NAME = 'Phi-3-vision-128k-instruct';

/**
 * The flags under which the files were recorded, by group.
 * @typedef {'vision' | 'text' | 'media'} Group
 */
const FLAGS = {
  vision: `models/phi3v-tiny --served-model-name ${NAME} phi3v-alias --limit-mm-per-prompt {"image":1} --max-model-len 131072
    --mm-processor-kwargs {"num_crops":4} --max-num-seqs 8 --enable-prompt-tokens-details --enable-request-id-headers
    --enable-server-load-tracking --block-size 128`,
  text: `models/phi3-tiny --served-model-name ${NAME} --sim-architecture phi3 --max-model-len 2048 --max-num-seqs 1
    --max-num-queued-reqs 3 --api-key key-one key-two --enable-prompt-tokens-details --enable-force-include-usage
    --enable-per-request-metrics --enable-auto-tool-choice --tool-call-parser hermes --scheduling-policy priority
    --sse-keep-alive-interval 0.2 --block-size 128`,
  media: '--allowed-media-domains 127.0.0.1',
};

/** Which server a file was recorded from. @param {string} name @returns {Group} */
export function groupOf(name) {
  if (name.startsWith('media-')) return 'media';
  return /^(auth-|forced-|per-|context-2048-|text-model-|tools2-|priority-on|dev-|overload-|stream-keep-alive)/.test(
    name,
  )
    ? 'text'
    : 'vision';
}

/**
 * Starts a simulator and waits until it is ready.
 * @param {Group} group
 * @param {'0.32' | '0.33'} version
 * @param {string} folder from which pictures may be read
 * @returns {Promise<{ url: string, stop(): Promise<void> }>}
 */
export async function startSimulator(group, version, folder) {
  const port = await freePort();
  const flags =
    group === 'media' ? `${FLAGS.vision} ${FLAGS.media} --allowed-local-media-path ${folder}` : FLAGS[group];
  const argv = [...flags.split(/\s+/), '--sim-vllm-version', version, '--host', '127.0.0.1', '--port', String(port)];
  const env = {
    ...process.env,
    // Shorter than recorded, like the slow picture server; the retries and their growth are the same.
    VLLM_IMAGE_FETCH_TIMEOUT: '0.25',
    ...(group === 'media' ? { VLLM_MEDIA_FETCH_MAX_RETRIES: '1' } : {}),
    ...(group === 'text' ? { VLLM_SERVER_DEV_MODE: '1' } : {}),
  };
  const child = spawn(process.execPath, [ENTRY, 'serve', ...argv], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries += 1) {
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    if (answer?.status === 200) break;
    if (child.exitCode !== null || tries > 400) throw new Error(`the simulator did not start: ${argv.join(' ')}`);
    await pause(25);
  }
  return {
    url,
    async stop() {
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/**
 * The recorded picture server: one good picture, one missing, one page of HTML, one slow, one redirect.
 * @returns {Promise<{ url: string, other: string, stop(): Promise<void> }>}
 */
export async function startPictureServer() {
  const picture = png(640, 480);
  const server = createServer((req, res) => {
    const send = () => res.writeHead(200, { 'content-type': 'image/png' }).end(picture);
    if (req.url === '/ok.png') send();
    else if (req.url === '/slow.png') setTimeout(send, 500);
    else if (req.url === '/html') res.writeHead(200, { 'content-type': 'text/html' }).end('<html>hello</html>');
    else if (req.url === '/redir') res.writeHead(302, { location: `http://localhost:${portOf(server)}/ok.png` }).end();
    else res.writeHead(404).end();
  }).listen(0);
  await once(server, 'listening');
  const port = portOf(server);
  return {
    url: `http://127.0.0.1:${port}`,
    other: `http://localhost:${port}`,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** @param {import('node:net').Server} server */
function portOf(server) {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
