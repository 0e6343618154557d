import { expect, test } from '@jest/globals';
import { createMask, startProcess } from '../../../worker-launcher/engine/process.ts';

const mask = createMask({
  HF_TOKEN: 'hf_0123456789',
  OTEL_EXPORTER_OTLP_HEADERS: 'x-collector=abcdef',
  PATH: '/usr/bin',
});

test.each([
  ['login with hf_0123456789 failed', 'login with *** failed'],
  ['headers: x-collector=abcdef', 'headers: ***'],
  ["non-default args: {'api_key': ['k1', 'k2'], 'port': 8000}", "non-default args: {'api_key': ***, 'port': 8000}"],
  ['vllm serve m --api-key k1 k2 --port 8000', 'vllm serve m --api-key *** --port 8000'],
  ['Authorization: Bearer abc.def', 'Authorization: ***'],
  ['redis://user:pass@cache:6379', 'redis://user:***@cache:6379'],
  ['max_num_batched_tokens=2048, tokenizer=x', 'max_num_batched_tokens=2048, tokenizer=x'],
])('secrets in engine output do not reach the log: %s', (line, masked) => {
  expect(mask(line)).toBe(masked);
});

test('the last lines of the output are kept, oldest first, and each is passed on once', async () => {
  const lines = Array.from({ length: 300 }, (_, index) => `INFO line ${index}`);
  const script = 'for (const line of process.argv.slice(1)) console.error(line)';
  const command = { file: process.execPath, argv: ['-e', script, '--', ...lines], env: {} };
  const seen: string[] = [];
  const child = startProcess(command, (line) => seen.push(line));
  expect(await child.exited).toMatchObject({ code: 0 });
  expect(await child.output()).toEqual(lines.slice(-200));
  expect(seen).toEqual(lines);
});
