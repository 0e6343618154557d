import { z } from 'zod';

/** The `error` object of `errors.ts`, for the API's document. */
export const ERROR = {
  message: z.string().min(1),
  type: z.enum([
    'invalid_request_error',
    'authentication_error',
    'permission_error',
    'rate_limit_error',
    'server_error',
  ]),
  param: z.string().nullable().describe('the field at fault, as the caller wrote it'),
  code: z.string(),
  asked: z.number().optional().describe('the number that was requested, if a limit refused it'),
  allowed: z.number().optional(),
  card: z.string().optional().describe('the model card whose rule refused'),
};

export const OPENAI_ERRORS = {
  StreamError: z.looseObject({ error: z.looseObject(ERROR) }),
  OpenAIError: z.looseObject({ error: z.looseObject(ERROR) }),
};
