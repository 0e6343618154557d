/** An answer in vLLM's error shape. `type` may have a space. Source: recorded answers of vLLM 0.32 and 0.33. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  /** vLLM does not catch the exception, so the answer lacks the headers that its middleware adds */
  readonly isUncaught: boolean;

  constructor(status: number, type: string, message: string, param: string | null, isUncaught = false) {
    super(message);
    this.status = status;
    this.type = type;
    this.param = param;
    this.isUncaught = isUncaught;
  }

  /** The body, as text. */
  body(): string {
    return JSON.stringify({
      error: { message: this.message, type: this.type, param: this.param, code: this.status },
    });
  }
}

/** 400 for a value that the server itself refuses. As in vLLM, parameter and value follow the sentence. */
export function badRequest(message: string, param: string | null = null, value?: string): ApiError {
  return new ApiError(400, 'BadRequestError', withParameter(message, param, value), param);
}

/** 400 for a body that does not have the expected form (vLLM's pydantic layer). */
export function malformed(message: string, param: string | null): ApiError {
  return new ApiError(400, 'Bad Request', message, param);
}

export function modelNotFound(message: string): ApiError {
  return new ApiError(404, 'NotFoundError', message, 'model');
}

export function unprocessable(message: string, param: string, value: string): ApiError {
  return new ApiError(422, 'UnprocessableEntityError', withParameter(message, param, value), param);
}

/** 500 of an uncaught exception; also the answer if an image cannot be fetched. */
export function internalError(message: string): ApiError {
  return new ApiError(500, 'InternalServerError', message, null, true);
}

/** 500 after the engine's death. */
export function engineDead(message: string): ApiError {
  return new ApiError(500, 'InternalServerError', message, null);
}

/** 503 of the queue limits. */
export function engineBusy(): ApiError {
  const message =
    'The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.';
  return new ApiError(503, 'Service Unavailable', message, null);
}

function withParameter(message: string, param: string | null, value: string | undefined): string {
  if (param === null) return message;
  return value === undefined ? `${message} (parameter=${param})` : `${message} (parameter=${param}, value=${value})`;
}

/** A number as Python prints a float: integers end in `.0`. */
export function pythonFloat(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : `${value}`;
}
