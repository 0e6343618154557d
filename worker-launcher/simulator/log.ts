/**
 * One line in vLLM's form, to stdout: `(APIServer pid=7) INFO 11-23 08:01:36 [model.py:733] Resolved architecture: …`.
 * @param source vLLM's file and line; the patterns of a launcher may include them
 */
export function logLine(
  process_: 'APIServer' | 'EngineCore' | 'Worker',
  level: 'INFO' | 'WARNING' | 'ERROR',
  source: string,
  text: string,
): void {
  const at = new Date();
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  process.stdout.write(`(${process_} pid=${process.pid}) ${level} ${date} ${time} [${source}] ${text}\n`);
}

/** One line of uvicorn, the HTTP server within vLLM. */
export function serverLine(text: string): void {
  process.stdout.write(`INFO:     ${text}\n`);
}
