import { z } from 'zod';

/** What a gateway sends to a dispatcher. `go` lets a repeated pickup start; `cancel` ends an attempt in any phase. */
export const Control = z.object({
  type: z.enum(['go', 'cancel']),
  requestId: z.string().min(1),
  epoch: z.number().int().positive(),
  /** the pickup that is meant; absent on a `cancel` for all pickups of the epoch */
  attempt: z.number().int().positive().optional(),
});
export type Control = z.infer<typeof Control>;
