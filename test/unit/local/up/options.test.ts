import { expect, test } from '@jest/globals';
import { HELP, parseCommand } from '../../../../deploy/local/up/options.mjs';

const up = (...args: string[]): unknown => parseCommand(['up', ...args], '/home/me/penstock');

test('without options: port 8080, one of each, data in .penstock of the current folder', () => {
  expect(up()).toEqual({
    do: 'up',
    options: { port: 8080, gateways: 1, launchers: 1, dataDir: '/home/me/penstock/.penstock' },
  });
});

test('every option reaches the start, folders as absolute paths', () => {
  const args = '--port 9000 --gateways 2 --launchers 3 --engine simulator --engines 4 --data-dir d --models ../cards';
  expect(up(...args.split(' '), '--redis', 'rediss://:secret@cache:6380')).toEqual({
    do: 'up',
    options: {
      port: 9000,
      gateways: 2,
      launchers: 3,
      engine: 'simulator',
      engines: 4,
      dataDir: '/home/me/penstock/d',
      models: '/home/me/cards',
      redis: 'rediss://:secret@cache:6380',
    },
  });
});

test.each([
  [['--port', '0'], "--port takes a whole number from 1 to 65535, not '0'"],
  [['--port', '80.5'], "--port takes a whole number from 1 to 65535, not '80.5'"],
  [['--gateways', 'two'], "--gateways takes a whole number from 1 to 64, not 'two'"],
  [['--engine', 'ollama'], "--engine takes auto, vllm, simulator, not 'ollama'"],
  [['--redis', 'http://:secret@cache'], '--redis takes a URL such as redis://user:password@host:6379/0'],
  [['--redis', 'cache:6379'], '--redis takes a URL such as redis://user:password@host:6379/0'],
  [['--data-dir', ''], "--data-dir takes a folder, not ''"],
  [['--models', ''], "--models takes a folder, not ''"],
  [['--prot', '9000'], "Unknown option '--prot'; see penstock --help"],
  [['now'], "unexpected argument 'now'; see penstock --help"],
])('%j is refused in one sentence', (args, sentence) => {
  expect(() => up(...args)).toThrow(sentence);
});

test('an unknown command is named', () => {
  expect(() => parseCommand(['down'], '/')).toThrow("unknown command 'down'; see penstock --help");
});

test('help and version win over everything else; without a command, help is printed', () => {
  expect(up('--help', '--port', '9000')).toEqual({ do: 'help' });
  expect(up('-v')).toEqual({ do: 'version' });
  expect(parseCommand([], '/')).toEqual({ do: 'help' });
});

test('the help names every option', () => {
  for (const option of 'port engine engines gateways launchers redis data-dir models version help'.split(' ')) {
    expect(HELP).toContain(`--${option} `);
  }
});
