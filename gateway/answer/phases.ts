/** Instants (clock of this process, ms) of one request's way, and how often it ran again. */
export interface Phases {
  requestId: string;
  enqueuedAt?: number;
  claimedAt?: number;
  repeats: number;
}
