import { z } from 'zod';
import type { JsonValue } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import { FLAG, TOOLS, TOOL_CHOICE, field } from './field-forms.ts';
import { isAbsent, isLeftOut, readField } from './fields.ts';
import type { Column } from './request-fields.ts';

/** The fields that `readTools` reads. */
export const TOOL_SCHEMAS = { tools: TOOLS, tool_choice: TOOL_CHOICE, parallel_tool_calls: FLAG } as const;

/**
 * Reads the fields that are passed to the engine unchanged, and checks those that the route itself reads.
 * @param prefix before a field's name in the caller's body, such as `input_data.parameters.`
 * @returns the fields for the engine that are present and not null
 * @throws Failure `invalid_request` naming the field
 */
export function readFields(
  body: Readonly<Record<string, unknown>>,
  column: Column,
  prefix: string,
): Record<string, JsonValue> {
  const read: Record<string, JsonValue> = {};
  for (const [name, verdict] of column) {
    if (verdict.kind !== 'served' && verdict.kind !== 'own') continue;
    const value = body[name];
    if (verdict.field === undefined || isLeftOut(verdict.field, value)) continue;
    const known = readField(verdict.field, value, prefix + name);
    if (verdict.kind === 'served' && known !== null) read[name] = known;
  }
  return read;
}

/**
 * Reads tools and the fields about them. An empty list means no tools: clients that send all their fields use it for
 * not set, and the engine would refuse it.
 * @throws Failure `invalid_request` naming the field, also if a call is required and there is no tool
 */
export function readTools(body: Readonly<Record<string, unknown>>): Record<string, JsonValue> {
  const { tools, tool_choice: choice, parallel_tool_calls: parallel } = body;
  const list = isAbsent(tools) ? [] : readField(TOOLS, tools, 'tools');
  const chosen = isLeftOut(TOOL_CHOICE, choice) ? undefined : readField(TOOL_CHOICE, choice, 'tool_choice');
  const together = isAbsent(parallel) ? undefined : readField(FLAG, parallel, 'parallel_tool_calls');
  if (Array.isArray(list) && list.length === 0) {
    if (chosen === undefined || chosen === 'auto' || chosen === 'none') return {};
    throw new Failure('invalid_request', 'tool_choice requires a call, but tools has none', { param: 'tool_choice' });
  }
  return {
    tools: list,
    ...(chosen === undefined ? {} : { tool_choice: chosen }),
    ...(together === undefined ? {} : { parallel_tool_calls: together }),
  };
}

/**
 * The number of answers to one request.
 * @throws Failure `invalid_request` naming the field, also for several answers at temperature 0, which would be the
 * same
 */
export function readChoices(value: unknown, param: string, sampling: Readonly<Record<string, JsonValue>>): number {
  const choices = readPositive(value, param) ?? 1;
  if (choices > 1 && sampling['temperature'] === 0 && sampling['use_beam_search'] !== true)
    throw new Failure('invalid_request', `${param} must be 1 at temperature 0, got ${choices}`, { param });
  return choices;
}

const POSITIVE = field(z.int().min(1), 'a whole number, 1 or more');

/** Reads a whole number of at least 1; undefined if absent. @throws Failure `invalid_request` naming the field */
export function readPositive(value: unknown, param: string): number | undefined {
  if (isAbsent(value)) return undefined;
  const read = readField(POSITIVE, value, param);
  return typeof read === 'number' ? read : undefined;
}
