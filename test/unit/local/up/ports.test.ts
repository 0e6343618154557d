import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { checkPorts, planPorts } from '../../../../deploy/local/up/ports.mjs';

const LOOPBACK = { public: '127.0.0.1', gatewayInternal: '127.0.0.1', launcherInternal: '127.0.0.1' };

test('one of each uses three consecutive ports', () => {
  expect(planPorts({ port: 8080, gateways: 1, launchers: 1 })).toEqual({
    gateways: [{ public: 8080, internal: 8081 }],
    launchers: [{ internal: 8082 }],
  });
});

test('more of each leave the first three ports unchanged', () => {
  expect(planPorts({ port: 8080, gateways: 3, launchers: 2 })).toEqual({
    gateways: [
      { public: 8080, internal: 8081 },
      { public: 8083, internal: 8084 },
      { public: 8085, internal: 8086 },
    ],
    launchers: [{ internal: 8082 }, { internal: 8087 }],
  });
});

test('ports above 65535 are refused', () => {
  expect(planPorts({ port: 65_533, gateways: 1, launchers: 1 }).launchers).toEqual([{ internal: 65_535 }]);
  expect(() => planPorts({ port: 65_534, gateways: 1, launchers: 1 })).toThrow(
    '--port 65534 is too high: 3 consecutive ports up to 65535 are needed',
  );
});

test('a port in use is named together with its purpose', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const plan = { gateways: [{ public: port, internal: port }], launchers: [] };
  await expect(checkPorts(plan, LOOPBACK)).rejects.toThrow(
    `port ${port} for the public API of a gateway is in use; choose other ports with --port, such as --port 8180 (in a checkout: npm start -- --port 8180)`,
  );
  server.close();
  await once(server, 'close');
});

test('an address of another machine has its own message', async () => {
  const plan = { gateways: [], launchers: [{ internal: 18_080 }] };
  await expect(checkPorts(plan, { ...LOOPBACK, launcherInternal: '203.0.113.1' })).rejects.toThrow(
    /^port 18080 for .* on 203\.0\.113\.1 cannot be bound \(.*EADDRNOTAVAIL/,
  );
});
