import { expect, test } from '@jest/globals';
import { createMask, startProcess } from '../../../worker-launcher/engine/process.ts';

const mask = createMask({ HF_TOKEN: 'hf_0123456789', PATH: '/usr/bin' });

test.each([
  ['login with hf_0123456789 failed', 'login with *** failed'],
  ["non-default args: {'api_key': ['k1', 'k2'], 'port': 8000}", "non-default args: {'api_key': ***, 'port': 8000}"],
  ['vllm serve m --api-key k1 k2 --port 8000', 'vllm serve m --api-key *** --port 8000'],
  ['Authorization: Bearer abc.def', 'Authorization: ***'],
  ['redis://user:pass@cache:6379', 'redis://user:***@cache:6379'],
  ['max_num_batched_tokens=2048, tokenizer=x', 'max_num_batched_tokens=2048, tokenizer=x'],
])('secrets in engine output do not reach the log: %s', (line, masked) => {
  expect(mask(line)).toBe(masked);
});

const EARLY = Array.from({ length: 80 }, (_, index) => `INFO line ${String(index)}`);
const TRACE = [
  'Traceback (most recent call last):',
  '  File "/x/core.py", line 1, in run',
  "ValueError: To serve at least one request with the model's max seq len (131072), 48.0 GiB KV cache is needed",
  'RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}',
];

test.each([
  [[...EARLY, ...TRACE, 'INFO bye'], TRACE[2]],
  [['usage: vllm serve', 'vllm: error: unrecognized arguments: --x'], 'vllm: error: unrecognized arguments: --x'],
  [['OSError: [Errno 98] Address already in use'], 'OSError: [Errno 98] Address already in use'],
  [['INFO a', 'KeyError: rope', 'RuntimeError: Engine core initialization failed'], 'KeyError: rope'],
  [['INFO a', 'INFO b', ''], 'INFO b'],
  [[], undefined],
])('the most telling line of a failed start is found %#', async (lines, telling) => {
  const script = 'for (const line of process.argv.slice(1)) console.error(line)';
  const command = { file: process.execPath, argv: ['-e', script, '--', ...lines], env: {} };
  const seen: string[] = [];
  const child = startProcess(command, (line) => seen.push(line));
  expect(await child.exited).toMatchObject({ code: 0 });
  expect(await child.lastWords()).toBe(telling);
  expect(seen).toEqual(lines);
});
