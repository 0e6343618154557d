import type { z } from 'zod';
import type { ModelCard } from '#contract/model-card';

/** Facts of the served cards and the operator's settings for the API's schemas: numbers and names. */
export interface ApiFacts {
  readonly cards: readonly ModelCard[];
  /** names by which a caller may choose a model */
  readonly names: readonly string[];
  /** an unknown name means the only model */
  readonly takesAnyName: boolean;
  /** an unknown name in Azure's header means the only model */
  readonly takesAnyDeployment: boolean;
  /** name of this gateway as one deployment */
  readonly deploymentName: string;
  /** limit for the answer length that a caller may request, in tokens; undefined: a larger value is reduced to it */
  readonly mostTokens: number | undefined;
  readonly mostChoices: number;
  readonly body: BodyFacts;
}

/** Limits of a body, with its pictures and without. */
export interface BodyFacts {
  readonly limitBytes: number;
  readonly textBytes: number;
  readonly depth: number;
  readonly values: number;
  readonly texts: number;
}

/** What chooses the model before the body is read: a header, a part of the path, or nothing. */
export type DeploymentBy = 'header' | 'path' | 'none';

/** Input for a dialect's description of itself. */
export interface Described {
  readonly facts: ApiFacts;
  /** the schema of a message in OpenAI's form; use this same object, so that the document names it once */
  readonly message: z.ZodType;
  readonly deployment: DeploymentBy;
}

/** A dialect's routes in the API's document; schemas are referred to by name. */
export interface Description {
  readonly summary: string;
  /** the dialect's own headers and query parameters, in OpenAPI's form */
  readonly parameters?: Readonly<Record<string, object>>;
  /** name of the body's schema, and named examples of bodies */
  readonly request: { readonly schema: string; readonly examples: Readonly<Record<string, object>> };
  /** names of the answer's schema, and of its events if it can be streamed */
  readonly answer: string;
  readonly event?: string;
  /** whether such a stream ends in `[DONE]`; absent: yes */
  readonly hasEndMark?: false;
  readonly schemas: Readonly<Record<string, z.ZodType>>;
}
