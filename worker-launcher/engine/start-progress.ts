/** Stages of a start, for people, in vLLM's order. Source: its log lines, 0.24 to 0.33. `$1` is the first group. */
const STAGES: readonly (readonly [RegExp, string])[] = [
  [/non-default args/, 'reading its arguments'],
  [/Resolved architecture: (\w+)/, 'preparing $1'],
  [/Initializing a V1 LLM engine/, 'starting the engine core'],
  [/(?:Fetching|Downloading)\b.*?(\d+)%/, 'downloading weights, $1 %'],
  [/Starting to load model/, 'loading weights'],
  [/Loading safetensors checkpoint shards: +(\d+)%/, 'loading weights, $1 %'],
  [/Model loading took ([\d.]+ GiB)/, 'weights loaded, $1'],
  [/Dynamo bytecode transform|torch\.compile takes/, 'compiling'],
  [/Available KV cache memory: ([\d.]+ GiB)/, 'KV cache of $1'],
  [/KV cache size: ([\d,]+) tokens/, 'KV cache of $1 tokens'],
  [/Capturing CUDA graphs.*?(\d+)%/, 'capturing graphs, $1 %'],
  [/Graph capturing finished/, 'graphs captured'],
  [/init engine .* took/, 'engine core ready'],
  [/Starting vLLM server on/, 'opening its socket or port'],
  [/Application startup complete/, 'generating a first token'],
];

/** @returns the stage that a line of an engine's output begins, if it begins one */
export function stageIn(line: string): string | undefined {
  for (const [pattern, text] of STAGES) {
    const match = pattern.exec(line);
    if (match !== null) return text.replace('$1', match[1] ?? '');
  }
  return undefined;
}
