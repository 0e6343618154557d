import process from 'node:process';
import { z } from 'zod';

/** How SDKs of one make take errors: the table in gateway/README.md. */
interface Family {
  /** their classes by status; absent: none of their routes has this status */
  readonly classes: Readonly<Partial<Record<Status, string>>>;
  /** when the connection of a stream breaks */
  readonly brokenStream: string;
  /** number of requests of one call, with the SDK's own retries */
  readonly requests: Readonly<Partial<Record<Status, number>>>;
}
export const STATUSES = [400, 401, 404, 422, 429, 502, 503, 504] as const;
export type Status = (typeof STATUSES)[number];

/** An engine may have worked on a 502 or 504, so `x-should-retry: false` keeps this SDK from a retry. */
const OPENAI: Family = {
  classes: {
    400: 'BadRequestError',
    401: 'AuthenticationError',
    404: 'NotFoundError',
    429: 'RateLimitError',
    502: 'InternalServerError',
    503: 'InternalServerError',
    504: 'InternalServerError',
  },
  brokenStream: 'APIError',
  requests: { 400: 1, 401: 1, 404: 1, 429: 3, 502: 1, 503: 3, 504: 1 },
};
/** This one retries a POST after 500, 503 and 504, and every answer with `Retry-After`. */
const AZURE_PYTHON: Family = {
  classes: {
    400: 'HttpResponseError',
    401: 'ClientAuthenticationError',
    404: 'ResourceNotFoundError',
    422: 'HttpResponseError',
    429: 'HttpResponseError',
    502: 'HttpResponseError',
    503: 'HttpResponseError',
    504: 'HttpResponseError',
  },
  brokenStream: 'HttpResponseError',
  requests: { 400: 1, 401: 1, 404: 1, 422: 1, 429: 4, 502: 1, 503: 4, 504: 4 },
};
/** This one retries every status from 500 on, except 501 and 505. */
const AZURE_NODE: Family = {
  classes: Object.fromEntries(STATUSES.map((status) => [status, 'isUnexpected()'])),
  brokenStream: 'Error',
  requests: { ...AZURE_PYTHON.requests, 502: 4 },
};

export interface Sdk {
  readonly name: string;
  readonly command: readonly [file: string, script: string];
  /** classes and base URLs of the driver, with the dialect of each */
  readonly surfaces: Readonly<Record<string, Dialect>>;
  readonly family: Family;
}
export type Dialect = 'openai' | 'azure-openai' | 'inference' | 'anthropic';

const OPENAI_SURFACES = { v1: 'openai', azure: 'azure-openai', 'azure-v1': 'azure-openai' } as const;
const AZURE_SURFACES = { host: 'inference', models: 'inference' } as const;

/** Further versions of OpenAI's SDKs, which `npm run sdks` installs. */
export const OtherVersions = z.array(
  z.object({ name: z.string(), command: z.tuple([z.string(), z.string()]).readonly() }),
);
export type Version = z.infer<typeof OtherVersions>[number];

/** @param python of an environment with `requirements.txt`; without it only the two SDKs for Node */
export function sdks(python: string | undefined): Sdk[] {
  const node = process.execPath;
  const ofNode: Sdk[] = [
    { name: 'openai (Node)', command: [node, 'test/sdks/openai.mjs'], surfaces: OPENAI_SURFACES, family: OPENAI },
    {
      name: '@azure-rest/ai-inference (Node)',
      command: [node, 'test/sdks/azure-inference.mjs'],
      surfaces: AZURE_SURFACES,
      family: AZURE_NODE,
    },
  ];
  if (python === undefined) return ofNode;
  return [
    ...ofNode,
    {
      name: 'openai (Python)',
      command: [python, 'test/sdks/openai_sdk.py'],
      surfaces: OPENAI_SURFACES,
      family: OPENAI,
    },
    {
      name: 'azure-ai-inference (Python)',
      command: [python, 'test/sdks/azure_inference.py'],
      surfaces: AZURE_SURFACES,
      family: AZURE_PYTHON,
    },
  ];
}

const COMMON = {
  400: 'unsupported_parameter',
  401: 'unauthorized',
  404: 'model_not_found',
  422: 'invalid_request',
  429: 'queue_full',
  502: 'engine_failed',
  503: 'overloaded',
  504: 'deadline_exceeded',
} as const;
/** Azure OpenAI's own codes for three of them. */
const OF_AZURE_OPENAI = { ...COMMON, 401: '401', 404: 'DeploymentNotFound', 429: '429' } as const;
/** `error.code` for each status. */
export const CODES: Readonly<Record<Dialect, Readonly<Record<Status, string>>>> = {
  openai: COMMON,
  'azure-openai': OF_AZURE_OPENAI,
  inference: COMMON,
  anthropic: COMMON,
};
