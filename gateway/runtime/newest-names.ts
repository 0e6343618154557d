/** Whether metrics have the newest names of OpenTelemetry's GenAI conventions too. Source: its semantic conventions. */
export function wantsNewestNames(env: NodeJS.ProcessEnv): boolean {
  const chosen = (env['OTEL_SEMCONV_STABILITY_OPT_IN'] ?? '').split(',');
  return chosen.some((name) => name.trim() === 'gen_ai_latest_experimental');
}
