import { createRequire } from 'node:module';
import { z } from 'zod';

/** The release of this program. */
export const { version: ownVersion } = z
  .object({ version: z.string() })
  .parse(createRequire(import.meta.url)('#package.json'));
