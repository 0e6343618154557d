import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from '@jest/globals';
import { Pace, PacedConnection, type Judge } from '../../../../gateway/images/fetch/paced-connection.ts';
import { eventually } from '../../../support/eventually.ts';
import { startRawHost } from '../../../support/raw-host.ts';

const BYTES = Buffer.alloc(300_000, 'picture');

test('N1: expensive steps leave time of each event-loop run to others, and alternate', async () => {
  const pace = new Pace();
  const done = [0, 0, 0];
  for (const n of done.keys())
    pace.run(() => {
      const until = performance.now() + 3;
      while (performance.now() < until);
      done[n] = (done[n] ?? 0) + 1;
      return (done[n] ?? 0) < 10;
    });
  let before = 0;
  while (before < 30) {
    await new Promise(setImmediate);
    const now = done.reduce((sum, count) => sum + count, 0);
    // Two steps of 3 ms fit into a run of 4 ms; the second ends after it.
    expect(now - before).toBeLessThanOrEqual(2);
    expect(Math.max(...done) - Math.min(...done)).toBeLessThanOrEqual(1);
    before = now;
  }
});

/** The bytes received from a host that sends `BYTES` and closes. */
async function received(judge: Judge, whatever: (connection: PacedConnection) => void = () => undefined) {
  await using host = await startRawHost((socket) => socket.end(BYTES));
  const connection = new PacedConnection(connect(host.port, '127.0.0.1'), new Pace(), judge);
  const pieces: Buffer[] = [];
  connection.on('data', (piece: Buffer) => pieces.push(piece));
  connection.write('GET / HTTP/1.1\r\n\r\n');
  whatever(connection);
  const [error] = await Promise.race([once(connection, 'end').then(() => []), once(connection, 'close')]).catch(
    (cause: unknown) => [cause],
  );
  connection.destroy();
  await eventually('the host sees it closed', () => host.open.size === 0);
  return { error, pieces, bytes: Buffer.concat(pieces) };
}

test('N1: a host’s bytes arrive completely, in pieces that begin small', async () => {
  const { bytes, pieces } = await received(() => 'go on');
  expect(bytes.equals(BYTES)).toBe(true);
  expect(pieces[0]?.length).toBeLessThanOrEqual(2_048);
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(16_384);
});

test('N1: the judge can pause the connection until it is resumed, or end it', async () => {
  let isHeld = true;
  const { bytes } = await received(
    (passed) => (passed > 10_000 && isHeld ? 'wait' : 'go on'),
    (connection) =>
      void eventually('it is held', () => connection.readableFlowing === true).then(() => {
        isHeld = false;
        connection.wake();
      }),
  );
  expect(bytes.equals(BYTES)).toBe(true);
  const why = new Error('enough');
  const ended = await received((passed) => (passed > 10_000 ? why : 'go on'));
  expect(ended.error).toBe(why);
  expect(ended.bytes.length).toBeLessThan(50_000);
});
