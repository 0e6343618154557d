/** Limit for an engine's sentence that a client may read, in characters. */
const LONGEST = 500;
/** Numbers, and lists of them as Python writes them. */
const N = String.raw`-?[\d.]+(?:e[+-]?\d+)?`;
/** Names of fields, parts and programs. */
const NAME = String.raw`[\w.[\]-]{1,64}`;
const PARAMETER = String.raw`(?: \(parameter=${NAME}(?:, value=(?:${N}|\[[\d, ]{0,200}\]))?\))?`;

/**
 * vLLM's sentences about requests that it cannot serve (source: recorded answers of 0.32 and 0.33, and 0.33's source).
 * If such a sentence holds anything of the caller's, it is a number or the name of a field. All other sentences may
 * quote a prompt.
 */
const KNOWN = [
  String.raw`This model's maximum context length is \d+ tokens\. However, (?:you requested|your prompt contains) [\w ,().-]{1,200}\.(?: Please reduce the length of the [\w ]{1,40}\.)?`,
  String.raw`(?:max_tokens|max_output_tokens|max_completion_tokens)=${N} cannot be greater than max_model_len=\d+\. Please request fewer output tokens\.`,
  String.raw`${NAME} must be (?:at least|at most|in|less than or equal to|non-negative|positive|1 when using greedy sampling)(?: [\w=]*[[(]?${N}(?:, ${N}[\])])?)?, got ${N}\.(?: To increase this limit, set the \w+ environment variable\.)?`,
  String.raw`token_id\(s\) \[[\d, ]{0,200}\] in \w{1,40} contain out-of-vocab token ids\. Vocabulary size: \d+`,
  String.raw`Token id \d+ is out of vocabulary`,
  String.raw`At most \d+ \w{1,20}\(s\) may be provided in one prompt\.`,
  String.raw`Failed to load image: (?:cannot identify image file <_io\.BytesIO object>|image file is truncated(?: \(\d+ bytes not processed\))?|broken data stream when reading image file)`,
  String.raw`Image size \(\d+ pixels\) exceeds limit of \d+ pixels, could be decompression bomb DOS attack\.`,
  String.raw`Requested (?:sample|prompt) logprobs of ${N}, which is greater than max allowed: ${N}`,
  'stop cannot contain an empty string\\.',
  'when using `top_logprobs`, `logprobs` must be set to true\\.',
  'The tool specified in `tool_choice` does not match any of the specified `tools`',
  "Tool choice '\\w{1,20}' must be specified with 'tools' parameter\\.",
  "When response_format type is 'json_schema', the 'json_schema' field must be provided\\.",
  'Stream options can only be defined when `stream=True`\\.',
  'Cannot apply chat template to an empty conversation\\. Provide at least one message\\.',
  String.raw`Unsupported input item type: \w{1,64}`,
].map((sentence) => new RegExp(`^${sentence}${PARAMETER}$`));

/**
 * Errors about grammars, regular expressions and schemas, from all programs that build them for vLLM (its guidance,
 * xgrammar and outlines back ends). If vLLM does not foresee such an error, it reports it as its own, with status 500.
 */
const OF_GRAMMARS =
  /^Grammar error\b|\b(?:grammar|EBNF|Lark|xgrammar|llguidance|outlines|lm-format-enforcer|json ?schema|structured[ _]outputs?|guided[ _]decoding|regex|regular expression)\b/i;
const GRAMMAR_SHAPE = /^Grammar error: [^\n]{1,200}$/;

/** @returns the sentence if its form is known; it is for the caller alone and never for a log */
export function knownSentence(message: string): string | undefined {
  if (message.length > LONGEST) return undefined;
  return GRAMMAR_SHAPE.test(message) || KNOWN.some((shape) => shape.test(message)) ? message : undefined;
}

/** Whether an engine's error concerns the caller's grammar, whatever its status. */
export function isAboutGrammar(message: string): boolean {
  return OF_GRAMMARS.test(message.slice(0, LONGEST));
}
