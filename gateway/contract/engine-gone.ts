/**
 * What vLLM 0.32 and 0.33 say when the engine behind their API server is dead, or going (source: recorded answers). For
 * a moment the server still answers, while nothing that is sent to it can succeed.
 */
const SENTENCES = [
  'EngineCore encountered an issue',
  'cannot schedule new futures after shutdown',
  'The server had an error while processing your request',
] as const;

const STOPPING: (typeof SENTENCES)[number] = 'cannot schedule new futures after shutdown';

/** Whether it tells of an end that nobody asked for. */
export function saysEngineDied(message: string): boolean {
  return saysEngineGone(message) && !message.includes(STOPPING);
}

/** Whether an engine's error tells of its own end, and not of the request. */
export function saysEngineGone(message: string): boolean {
  return SENTENCES.some((sentence) => message.includes(sentence));
}
