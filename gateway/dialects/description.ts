import type { z } from 'zod';
import type { ModelCard } from '#contract/model-card';

/** What the served cards and the operator's settings make of the API: numbers and names of its schemas. */
export interface ApiFacts {
  readonly cards: readonly ModelCard[];
  /** by which a caller may ask for a model */
  readonly names: readonly string[];
  /** an unknown name means the only model */
  readonly takesAnyName: boolean;
  /** an unknown name in Azure's header does, too */
  readonly takesAnyDeployment: boolean;
  /** this gateway as one deployment */
  readonly deploymentName: string;
  /** largest answer that may be asked for, in tokens; undefined: a larger one is cut to it */
  readonly mostTokens: number | undefined;
  readonly mostChoices: number;
  readonly body: BodyFacts;
}

/** What a body may be, with its pictures and without. */
export interface BodyFacts {
  readonly limitBytes: number;
  readonly textBytes: number;
  readonly depth: number;
  readonly values: number;
  readonly texts: number;
}

/** What chooses the model before the body is read: a header, a part of the path, nothing. */
export type DeploymentBy = 'header' | 'path' | 'none';

/** What a dialect is asked to describe itself for. */
export interface Described {
  readonly facts: ApiFacts;
  /** the schema of a message in OpenAI's form; to be used as it is, so that the document names it once */
  readonly message: z.ZodType;
  readonly deployment: DeploymentBy;
}

/** What the API's document says of a dialect's routes; schemas go by their names. */
export interface Description {
  readonly summary: string;
  /** headers and query parameters of its own, as OpenAPI writes them */
  readonly parameters?: Readonly<Record<string, object>>;
  /** name of the body's schema, and a body by the name of what it shows */
  readonly request: { readonly schema: string; readonly examples: Readonly<Record<string, object>> };
  /** names of the answer's schema, and of its streamed events where it can be streamed */
  readonly answer: string;
  readonly event?: string;
  /** whether such a stream ends in `[DONE]`; absent: yes */
  readonly hasEndMark?: false;
  readonly schemas: Readonly<Record<string, z.ZodType>>;
}
