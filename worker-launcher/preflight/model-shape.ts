import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** The sizes of a model from which its memory is computed. */
export interface ModelShape {
  readonly weights_gib: number;
  /** bytes of one token's keys and values in all layers, at 16 bits */
  readonly kv_bytes_per_token: number;
  /** tensor parallel must divide this number */
  readonly heads: number;
  readonly source: string;
}

/** 32 layers of 32 ungrouped heads of 96, 16 bits, key and value; weights as vLLM reported them on one 80 GB GPU. */
const KNOWN: Readonly<Record<string, ModelShape>> = {
  'microsoft/Phi-3-vision-128k-instruct': {
    weights_gib: 7.91,
    kv_bytes_per_token: 2 * 32 * 32 * 96 * 2,
    heads: 32,
    source: 'measured',
  },
};

const Config = z.object({
  num_hidden_layers: z.number().int().positive(),
  num_attention_heads: z.number().int().positive(),
  num_key_value_heads: z.number().int().positive().optional(),
  hidden_size: z.number().int().positive(),
  head_dim: z.number().int().positive().optional(),
});

/**
 * @param hubName the card's hub name, whose sizes may be known
 * @param folder folder of the weights, if it exists here
 * @param weightsGib size of the weight files in the folder
 * @returns undefined if neither gives the sizes
 */
export function modelShape(hubName: string, folder: string | undefined, weightsGib: number): ModelShape | undefined {
  const config = folder === undefined ? undefined : readConfig(join(folder, 'config.json'));
  if (config === undefined || weightsGib === 0) return KNOWN[hubName];
  const { num_hidden_layers: layers, num_attention_heads: heads, hidden_size: hidden } = config;
  const kvHeads = config.num_key_value_heads ?? heads;
  const head = config.head_dim ?? hidden / heads;
  const kv = 2 * layers * kvHeads * head * 2;
  return { weights_gib: weightsGib, kv_bytes_per_token: kv, heads: kvHeads, source: 'config.json and the files' };
}

function readConfig(path: string): z.infer<typeof Config> | undefined {
  try {
    return Config.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}
