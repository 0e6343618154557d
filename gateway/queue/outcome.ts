/** How the admission of a request ends: the closed set used as metric label. */
export const ADMISSION_OUTCOMES = [
  'admitted',
  /** as many requests, or bytes of them, wait as may */
  'rejected_queue_jobs',
  'rejected_queue_bytes',
  /** as many of the caller's key, or bytes of them, wait as its caps allow */
  'rejected_key_jobs',
  'rejected_key_bytes',
  /** this replica reads its replies too late to take on more */
  'rejected_reply_lag',
  /** Redis did not take the request */
  'rejected_unavailable',
  /** waited while no engine was ready, for as long as is allowed */
  'evicted_no_engine',
] as const;
export type AdmissionOutcome = (typeof ADMISSION_OUTCOMES)[number];
