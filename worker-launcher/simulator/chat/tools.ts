import { z } from 'zod';
import { badRequest } from '../http/errors.ts';
import type { SimulatorSettings } from '../command-line/settings.ts';
import { schemaProblem } from '../text/structured.ts';

const Tool = z.object({
  function: z.object({ name: z.string(), parameters: z.record(z.string(), z.unknown()).nullish() }),
});
const NamedChoice = z.object({ function: z.object({ name: z.string() }) });

/** A call that the answer must consist of. */
export interface ForcedCall {
  readonly name: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** with `required` the finish reason is `tool_calls`, with a named tool `stop` (recorded) */
  readonly isNamed: boolean;
}

/**
 * Reads `tools` and `tool_choice`. With `auto` the simulated model answers in words.
 * @throws ApiError 400 if the server was not started for tools, or if the chosen tool is not listed
 */
export function readForcedCall(
  body: { readonly tools?: unknown; readonly tool_choice?: unknown },
  settings: Pick<SimulatorSettings, 'autoToolChoice' | 'toolCallParser'>,
): ForcedCall | undefined {
  const tools = z.array(Tool).safeParse(body.tools ?? []).data ?? [];
  const choice = body.tool_choice ?? (tools.length > 0 ? 'auto' : 'none');
  if (choice === 'none' || tools.length === 0) return undefined;
  if (choice === 'auto') {
    if (settings.autoToolChoice && settings.toolCallParser !== undefined) return undefined;
    throw badRequest('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set');
  }
  const named = NamedChoice.safeParse(choice).data?.function.name;
  const tool = named === undefined ? tools[0] : tools.find((each) => each.function.name === named);
  if (tool === undefined) {
    throw badRequest('The tool specified in `tool_choice` does not match any of the specified `tools`', 'tool_choice');
  }
  if (settings.toolCallParser === undefined) {
    const asked = named === undefined ? '"required"' : `function "${named}"`;
    throw badRequest(`tool_choice=${asked} requires --tool-call-parser to be set`);
  }
  const parameters = tool.function.parameters ?? { type: 'object', properties: {} };
  const problem = schemaProblem(parameters, 0);
  if (problem !== undefined) throw problem;
  return { name: tool.function.name, parameters, isNamed: named !== undefined };
}
