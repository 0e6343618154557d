import { expect, test } from '@jest/globals';
import { parseFaults, readFaults } from '../../../../worker-launcher/simulator/command-line/fault-set.ts';
import { parseFlags } from '../../../../worker-launcher/simulator/command-line/flags.ts';
import { loadSettings } from '../../../../worker-launcher/simulator/command-line/settings.ts';

test('flags are read with a blank, with =, with underscores, dotted, negated and as lists', () => {
  const argv =
    'm --served-model-name a b --port=7 --max_model_len 8K --limit-mm-per-prompt.image 2 --no-enable-log-requests -tp 2';
  expect(loadSettings(argv.split(' '), {})).toMatchObject({
    model: 'm',
    names: ['a', 'b'],
    port: 7,
    maxModelLength: 8192,
    imageLimit: 2,
    logRequests: false,
  });
});

test.each([
  ['--max-model-len 128K', { maxModelLength: 131_072 }],
  ['--max-model-len auto', { maxModelLength: 131_072 }],
  ['--max-model-len -1', { maxModelLength: 131_072 }],
  ['--limit-mm-per-prompt {"image":{"count":3,"width":9}}', { imageLimit: 3 }],
  ['--language-model-only', { imageLimit: 0 }],
  ['', { imageLimit: 999, version: '0.33', names: ['microsoft/Phi-3-vision-128k-instruct'] }],
])('%j is understood', (line, expected) => {
  expect(loadSettings(line.split(' ').filter(Boolean), {})).toMatchObject(expected);
});

test('several unknown flags are named in one sentence', () => {
  expect(() => parseFlags(['--nope', '--port', '1', '--neither=2'], {})).toThrow(
    'unrecognized arguments: --nope --neither=2',
  );
});

test.each([
  ['--port', 'expected one argument'],
  ['--port x', 'invalid int value'],
  ['--served-model-name', 'at least one argument'],
])('%s is refused: %s', (line, words) => {
  expect(() => loadSettings(line.split(' '), {})).toThrow(words);
});

test('the environment has the same settings; the command line overrides it; unknown names are refused', () => {
  expect(loadSettings([], { PENSTOCK_SIM_ITL_MS: '7', PENSTOCK_SIM_TTFT_MS: '3' })).toMatchObject({
    itlMs: 7,
    ttftMs: 3,
  });
  expect(loadSettings(['--sim-itl-ms', '1'], { PENSTOCK_SIM_ITL_MS: '7' })).toMatchObject({ itlMs: 1 });
  expect(() => loadSettings([], { PENSTOCK_SIM_TFTT_MS: '3' })).toThrow('PENSTOCK_SIM_TFTT_MS');
});

test('faults are read from a list and from a body alike', () => {
  expect(parseFaults('saturate, cut-after=4,fail-start=hang')).toEqual({
    saturate: true,
    'cut-after': 4,
    'fail-start': 'hang',
  });
  expect([...readFaults({ saturate: null, 'cut-after': 4 })]).toEqual([
    ['saturate', undefined],
    ['cut-after', 4],
  ]);
  expect(() => parseFaults('cut-after=soon')).toThrow();
  expect(() => readFaults({ nonsense: null })).toThrow('nonsense');
});
