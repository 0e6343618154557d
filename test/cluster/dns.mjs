// @ts-check
/**
 * The cluster's DNS: answers A queries for `<service>.<namespace>.svc.cluster.local` from the API server, and
 * NXDOMAIN to everything else, because nothing outside can be reached.
 * `node dns.mjs ADDRESS API_URL CA_FILE CERT_FILE KEY_FILE`
 * Source: RFC 1035, section 4.
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';

const [address = '', api = '', ca = '', cert = '', key = ''] = process.argv.slice(2);
const tls = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
const NO_SUCH_NAME = 3;
const TYPE_A = 1;
const TTL_SECONDS = 2;

const socket = createSocket('udp4');
socket.on('message', (query, from) => {
  void answer(query).then((reply) => socket.send(reply, from.port, from.address));
});
socket.bind(53, address);

/** @param {Buffer} query */
async function answer(query) {
  /** @type {string[]} */
  const labels = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
  const question = query.subarray(12, at + 5);
  const isA = query.readUInt16BE(at + 1) === TYPE_A;
  const found = await addressesOf(labels).catch(() => []);
  const records = isA ? found : [];
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8580 | (found.length === 0 ? NO_SUCH_NAME : 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  return Buffer.concat([head, question, ...records.map(record)]);
}

/** @param {string} ip */
function record(ip) {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16BE(0xc00c, 0);
  bytes.writeUInt16BE(TYPE_A, 2);
  bytes.writeUInt16BE(1, 4);
  bytes.writeUInt32BE(TTL_SECONDS, 6);
  bytes.writeUInt16BE(4, 10);
  bytes.set(ip.split('.').map(Number), 12);
  return bytes;
}

/** The address of a Service, or those of the ready pods of a headless one. @param {string[]} labels @returns {Promise<string[]>} */
async function addressesOf(labels) {
  const [name, namespace, ...rest] = labels;
  if (rest.join('.') !== 'svc.cluster.local') return [];
  const { spec } = await get(`/api/v1/namespaces/${namespace}/services/${name}`);
  if (spec.clusterIP !== 'None') return [spec.clusterIP];
  const { items } = await get(
    `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D${name}`,
  );
  return items.flatMap(
    (/** @type {{ endpoints?: { addresses: string[], conditions: { ready?: boolean } }[] }} */ slice) =>
      (slice.endpoints ?? [])
        .filter(({ conditions }) => conditions.ready !== false)
        .flatMap(({ addresses }) => addresses),
  );
}

/** @param {string} path @returns {Promise<any>} */
function get(path) {
  return new Promise((resolve, reject) => {
    request(`${api}${path}`, tls, (res) => {
      let body = '';
      res.on('data', (bytes) => (body += bytes));
      res.on('end', () => (res.statusCode === 200 ? resolve(JSON.parse(body)) : reject(new Error(body))));
    })
      .on('error', reject)
      .end();
  });
}
