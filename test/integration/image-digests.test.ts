import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { baseImages, digestOf, pinImages } from '../supply/images.mjs';
import { portOf } from '../support/port-of.ts';
import { ROOT, temporaryFolder } from '../support/start-process.ts';

const DIGEST = `sha256:${'5e'.repeat(32)}`;

/** A registry that gives anybody a token, as Docker's does. */
async function startRegistry() {
  const server = createServer(({ url = '', headers, method }, res) => {
    const self = `http://${headers.host}`;
    if (url === '/token?service=it&scope=repository%3Ateam%2Fbase%3Apull') res.end('{"token":"t"}');
    else if (headers.authorization !== 'Bearer t') {
      const challenge = `Bearer realm="${self}/token",service="it",scope="repository:team/base:pull"`;
      res.writeHead(401, { 'www-authenticate': challenge }).end();
    } else if (
      method === 'HEAD' &&
      url === '/v2/team/base/manifests/1.2' &&
      headers.accept?.includes('oci.image.index')
    )
      res.writeHead(200, { 'docker-content-digest': DIGEST }).end();
    else res.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${portOf(server)}`,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

test('a registry that wants a token is asked for the digest of a tag; an unknown tag is told', async () => {
  using registry = await startRegistry();
  const image = `${registry.host}/team/base`;
  expect(await digestOf({ image, tag: '1.2' }, 'http')).toBe(DIGEST);
  await expect(digestOf({ image, tag: '9' }, 'http')).rejects.toThrow(/gives no digest of .*:9 \(HTTP 404\)/);
});

test('pinned images have a digest behind their tag, and in the values of the chart', async () => {
  using copy = temporaryFolder();
  mkdirSync(join(copy.path, 'charts/penstock'), { recursive: true });
  cpSync(join(ROOT, 'deploy'), join(copy.path, 'deploy'), { recursive: true });
  cpSync(join(ROOT, 'charts/penstock/values.yaml'), join(copy.path, 'charts/penstock/values.yaml'));
  const before = baseImages(copy.path);
  const written = await pinImages(copy.path, () => Promise.resolve(DIGEST));
  expect(written).toContain(`docker.io/valkey/valkey:8.1.4 ${DIGEST}`);
  const after = baseImages(copy.path);
  expect(after).toEqual(before.map((of) => ({ ...of, digest: DIGEST })));
  expect(readFileSync(join(copy.path, 'deploy/gateway.Dockerfile'), 'utf8')).toMatch(
    new RegExp(`^ARG NODE_IMAGE=docker.io/library/node:[\\w.-]+@${DIGEST}$`, 'm'),
  );
});
