import type { ChatRequest } from './chat.ts';

/** Fields of an engine's request that are numbers, by their names in OpenTelemetry's GenAI conventions. */
const FIELDS = {
  temperature: 'gen_ai.request.temperature',
  top_p: 'gen_ai.request.top_p',
  top_k: 'gen_ai.request.top_k',
  frequency_penalty: 'gen_ai.request.frequency_penalty',
  presence_penalty: 'gen_ai.request.presence_penalty',
} as const;

/** What the caller asked for, as far as a trace tells it. */
export function askedNumbers({ sampling, choices, maxTokens }: ChatRequest): Record<string, number> {
  const asked: Record<string, number> = {};
  for (const [field, name] of Object.entries(FIELDS)) {
    const value = sampling[field];
    if (typeof value === 'number') asked[name] = value;
  }
  if (maxTokens !== undefined) asked['gen_ai.request.max_tokens'] = maxTokens;
  if (choices !== 1) asked['gen_ai.request.choice.count'] = choices;
  return asked;
}
