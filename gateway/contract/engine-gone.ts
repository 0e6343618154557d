/**
 * Errors of vLLM 0.32 and 0.33 when the engine behind their API server has died or is stopping (source: recorded
 * answers). The server still answers for a moment, but no request sent to it can succeed.
 */
const SENTENCES = [
  'EngineCore encountered an issue',
  'cannot schedule new futures after shutdown',
  'The server had an error while processing your request',
] as const;

const STOPPING: (typeof SENTENCES)[number] = 'cannot schedule new futures after shutdown';

/** Whether the message reports an end that nothing requested. */
export function saysEngineDied(message: string): boolean {
  return saysEngineGone(message) && !message.includes(STOPPING);
}

/** Whether an engine's error reports its own end, and not a fault of the request. */
export function saysEngineGone(message: string): boolean {
  return SENTENCES.some((sentence) => message.includes(sentence));
}
