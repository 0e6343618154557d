import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Addresses; empty: the name exists, but has no address of that family. */
type NameAnswer = readonly string[] | 'nxdomain' | 'servfail' | 'refused' | 'silence';

/** A name server on loopback, for c-ares: UDP, one question, A or AAAA. */
export interface NameServer extends AsyncDisposable {
  /** in the form of `GATEWAY_IMAGE_NAME_SERVERS` */
  readonly address: string;
  /** queries such as `A example.org`, in order */
  readonly asked: string[];
}

const CODES = { nxdomain: 3, servfail: 2, refused: 5 } as const;

export async function startNameServer(
  script: (name: string, type: 'A' | 'AAAA') => NameAnswer | Promise<NameAnswer>,
): Promise<NameServer> {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  const answer = async (query: Buffer, port: number, address: string): Promise<void> => {
    const labels: string[] = [];
    let at = 12;
    for (let size = query[at] ?? 0; size > 0; size = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + size).toLowerCase());
      at += size + 1;
    }
    const type = query.readUInt16BE(at + 1) === 28 ? 'AAAA' : 'A';
    const name = labels.join('.');
    asked.push(`${type} ${name}`);
    const told = await script(name, type);
    if (told === 'silence') return;
    const records = typeof told === 'string' ? [] : told.map((one) => record(type, one));
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | (typeof told === 'string' ? CODES[told] : 0), 2);
    head.set([0, 1, 0, records.length, 0, 0, 0, 0], 4);
    socket.send(Buffer.concat([head, query.subarray(12, at + 5), ...records]), port, address);
  };
  socket.on('message', (query, { port, address }) => void answer(query, port, address));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, 'close');
    },
  };
}

/** Source: RFC 1035 section 4.1.3; the name points at the question's. */
function record(type: 'A' | 'AAAA', address: string): Buffer {
  const data = type === 'A' ? address.split('.').map(Number) : groups(address);
  return Buffer.from([0xc0, 12, 0, type === 'A' ? 1 : 28, 0, 1, 0, 0, 0, 60, 0, data.length, ...data]);
}

function groups(address: string): number[] {
  const [head = '', tail = ''] = address.split('::');
  const of = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const zeros = new Array<string>(8 - of(head).length - of(tail).length).fill('0');
  return [...of(head), ...zeros, ...of(tail)].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
