/** How the admission of a request ends: the closed set used as metric label. */
export const ADMISSION_OUTCOMES = [
  'admitted',
  /** the queue has reached its limit of requests or bytes */
  'rejected_queue_jobs',
  'rejected_queue_bytes',
  /** the caller's key has reached its cap of waiting requests or bytes */
  'rejected_key_jobs',
  'rejected_key_bytes',
  /** the request would wait longer than its deadline allows */
  'rejected_late',
  /** a limit of the caller's key is used up */
  'limited_requests_per_minute',
  'limited_tokens_per_minute',
  'limited_tokens_per_day',
  /** this replica lags behind in reading replies */
  'rejected_reply_lag',
  /** Redis did not take the request */
  'rejected_unavailable',
  /** no engine was ready for as long as a request may wait */
  'evicted_no_engine',
] as const;
export type AdmissionOutcome = (typeof ADMISSION_OUTCOMES)[number];
