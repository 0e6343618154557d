// @ts-check
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TINY = fileURLToPath(new URL('../vllm/model', import.meta.url));
const TOKENIZER_MAKER = fileURLToPath(new URL('../vllm/make-tokenizer.py', import.meta.url));
/** The internal sizes of Phi-3-vision-128k-instruct; the tiny model has only its external ones. Source: its config.json. */
const TRUE_SIZE = {
  hidden_size: 3_072,
  intermediate_size: 8_192,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
};

/**
 * A folder from which vLLM creates a model of the true size with random weights (`--load-format dummy`); created if
 * missing, with a `python3` that has `tokenizers`.
 * @param {string} folder
 */
export function makeModel(folder) {
  if (existsSync(join(folder, 'tokenizer.json'))) return;
  cpSync(TINY, folder, { recursive: true });
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...TRUE_SIZE }, null, 2));
  execFileSync('python3', [TOKENIZER_MAKER, join(folder, 'tokenizer.json')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}
