import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { startStack } from '../support/stack.ts';

const COUNT = 2_000;
/** The kernel's limit for one program, on Linux (source: listen(2)). */
const kernelsLimit = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));
const REQUEST = 'GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n';

// If the kernel allows fewer, no program can hold them: gateway/README.md, "Fixed limits".
(kernelsLimit < COUNT ? test.skip : test)(
  `H9: ${COUNT} connections arrive at one moment: each is accepted and answered, none is reset`,
  async () => {
    await using stack = await startStack({
      launchers: 0,
      // The limit of incomplete requests per address is another one.
      gatewayEnv: { GATEWAY_CONNECTIONS_PER_ADDRESS: String(COUNT * 2) },
    });
    const { child } = stack.gateways[0] ?? {};
    const sockets: Socket[] = [];
    const answers: string[] = [];
    const faults: string[] = [];
    let connected = 0;
    // For a moment it accepts nothing, however fast the machine is.
    child?.kill('SIGSTOP');
    try {
      for (let n = 0; n < COUNT; n += 1) {
        const socket = connect({ port: Number(new URL(stack.url).port), host: '127.0.0.1' });
        sockets.push(socket);
        let text = '';
        socket.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        socket.on('error', ({ message }) => faults.push(message));
        socket.on('close', () => answers.push(text.slice(0, 15)));
        void once(socket, 'connect').then(
          () => {
            connected += 1;
            socket.write(REQUEST);
          },
          () => {},
        );
      }
      await eventually('all are connected', () => connected === COUNT, 20_000).finally(() => child?.kill('SIGCONT'));
      await eventually('all are answered', () => answers.length === COUNT, 40_000);
      expect(faults).toEqual([]);
      expect(new Set(answers)).toEqual(new Set(['HTTP/1.1 200 OK']));
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  },
  120_000,
);
