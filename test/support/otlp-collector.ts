import { once } from 'node:events';
import { createServer } from 'node:http';

type Value = string | number | boolean | Value[];
export interface CollectedSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** empty: it has none */
  readonly parentId: string;
  readonly state: string;
  readonly name: string;
  readonly kind: string;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, Value>>;
  readonly events: readonly string[];
  /** ids of the spans that it links to */
  readonly links: readonly string[];
  readonly isError: boolean;
}

export interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** all exports as they came */
  readonly bytes: () => Buffer;
  readonly headers: readonly NodeJS.Dict<string | string[]>[];
  /** From now on it refuses each export with 503. */
  refuse(): void;
}

/** A collector that takes OTLP over HTTP, as protobuf. */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const pieces: Buffer[] = [];
  const headers: NodeJS.Dict<string | string[]>[] = [];
  let refuses = false;
  const server = createServer((req, res) => {
    const body: Buffer[] = [];
    req.on('data', (piece: Buffer) => body.push(piece));
    req.on('end', () => {
      headers.push(req.headers);
      if (refuses) return res.writeHead(503).end();
      const bytes = Buffer.concat(body);
      pieces.push(bytes);
      spans.push(...spansIn(bytes));
      return res.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    spans,
    headers,
    bytes: () => Buffer.concat(pieces),
    refuse: () => {
      refuses = true;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** A trace as indented text, the parts of a span below it. */
export function traceText(spans: readonly CollectedSpan[]): string {
  const known = new Set(spans.map(({ spanId }) => spanId));
  const first = spans.map(({ startNs }) => startNs).toSorted((a, b) => (a < b ? -1 : 1))[0] ?? 0n;
  const ms = (ns: bigint): string => (Number(ns - first) / 1e6).toFixed(1);
  const lines = (span: CollectedSpan, depth: number): string[] => {
    const [indent, deeper] = ['  '.repeat(depth), '  '.repeat(depth + 1)];
    const links = span.links.map((id) => `${deeper}follows ${id}`);
    const told = Object.entries(span.attributes).map(([name, value]) => `${deeper}${name} = ${JSON.stringify(value)}`);
    const below = spans
      .filter(({ parentId }) => parentId === span.spanId)
      .toSorted((a, b) => (a.startNs < b.startNs ? -1 : 1));
    const status = span.isError ? ' ERROR' : '';
    return [
      `${indent}${span.kind} ${span.name} [${span.service}] ${span.spanId} ${ms(span.startNs)}–${ms(span.endNs)} ms${status}`,
      ...(depth === 0 && span.parentId !== '' ? [`${deeper}below ${span.parentId}, the caller's`] : []),
      ...links,
      ...told,
      ...span.events.map((name) => `${deeper}event: ${name}`),
      ...below.flatMap((one) => lines(one, depth + 1)),
    ];
  };
  const roots = spans.filter(({ parentId }) => !known.has(parentId));
  return [`trace ${spans[0]?.traceId ?? ''}`, ...roots.flatMap((root) => lines(root, 0))].join('\n');
}

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];

/** Source of the field numbers: opentelemetry-proto, `trace.proto`, `common.proto` and `resource.proto`. */
function spansIn(bytes: Buffer): CollectedSpan[] {
  return all(bytes, 1).flatMap((ofResource) => {
    const [resource] = all(ofResource, 1);
    const service = String(attributesIn(resource, 1)['service.name']);
    return all(ofResource, 2).flatMap((scope) => all(scope, 2).map((span) => spanIn(span, service)));
  });
}

function spanIn(span: Buffer, service: string): CollectedSpan {
  const hex = (number: number): string => all(span, number)[0]?.toString('hex') ?? '';
  const text = (of: Buffer, number: number): string => all(of, number)[0]?.toString() ?? '';
  return {
    service,
    traceId: hex(1),
    spanId: hex(2),
    state: text(span, 3),
    parentId: hex(4),
    name: text(span, 5),
    kind: KINDS[Number(numbers(span, 6)[0] ?? 0n)] ?? '',
    startNs: numbers(span, 7)[0] ?? 0n,
    endNs: numbers(span, 8)[0] ?? 0n,
    attributes: attributesIn(span, 9),
    events: all(span, 11).map((event) => text(event, 2)),
    links: all(span, 13).map((link) => all(link, 2)[0]?.toString('hex') ?? ''),
    isError: all(span, 15).some((status) => numbers(status, 3)[0] === 2n),
  };
}

function attributesIn(of: Buffer | undefined, number: number): Record<string, Value> {
  if (of === undefined) return {};
  return Object.fromEntries(
    all(of, number).map((pair) => [all(pair, 1)[0]?.toString() ?? '', valueIn(all(pair, 2)[0] ?? Buffer.alloc(0))]),
  );
}

function valueIn(value: Buffer): Value {
  for (const [number, read] of fieldsOf(value)) {
    if (number === 1 && Buffer.isBuffer(read)) return read.toString();
    if (number === 2) return read === 1n;
    if (number === 3 && typeof read === 'bigint') return Number(BigInt.asIntN(64, read));
    if (number === 4 && typeof read === 'bigint') {
      const double = Buffer.alloc(8);
      double.writeBigUInt64LE(read);
      return double.readDoubleLE();
    }
    if (number === 5 && Buffer.isBuffer(read)) return all(read, 1).map(valueIn);
  }
  return '';
}

const all = (of: Buffer, number: number): Buffer[] =>
  fieldsOf(of).flatMap(([at, value]) => (at === number && Buffer.isBuffer(value) ? [value] : []));
const numbers = (of: Buffer, number: number): bigint[] =>
  fieldsOf(of).flatMap(([at, value]) => (at === number && typeof value === 'bigint' ? [value] : []));

/** The fields of one message. Source: Protocol Buffers, encoding. */
function fieldsOf(message: Buffer): [number, Buffer | bigint][] {
  const fields: [number, Buffer | bigint][] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at);
      at += 1;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = Number(varint());
    const number = key >> 3;
    const kind = key & 7;
    if (kind === 0) fields.push([number, varint()]);
    else if (kind === 1) {
      fields.push([number, message.readBigUInt64LE(at)]);
      at += 8;
    } else if (kind === 5) {
      fields.push([number, BigInt(message.readUInt32LE(at))]);
      at += 4;
    } else {
      const length = Number(varint());
      fields.push([number, message.subarray(at, at + length)]);
      at += length;
    }
  }
  return fields;
}
