import { request } from 'undici';
import { z } from 'zod';

/** GPUs of the Azure sizes with A100 cards of 80 GB. Source: Azure's size pages of these series. */
const GPUS_OF_SIZE: Readonly<Record<string, number>> = {
  Standard_NC24ads_A100_v4: 1,
  Standard_NC48ads_A100_v4: 2,
  Standard_NC96ads_A100_v4: 4,
  Standard_ND96amsr_A100_v4: 8,
};

/** @returns undefined for an unknown size */
export function gpusOfSize(sku: string | null): number | undefined {
  return sku === null ? undefined : GPUS_OF_SIZE[sku];
}

const METADATA = 'http://169.254.169.254/metadata/instance/compute/vmSize?api-version=2021-02-01&format=text';
/** Timeout in milliseconds: in Azure the host itself answers, elsewhere no service does. */
const WITHIN_MS = 1_500;
const VmSize = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{2,80}$/);

/**
 * Requests the size of this machine from Azure's instance metadata service.
 * @param url of the service; for tests
 * @returns null outside Azure, or if the service is blocked, as it is for pods of some clusters
 */
export async function askVmSize(url = METADATA): Promise<string | null> {
  const signal = AbortSignal.timeout(WITHIN_MS);
  try {
    const { statusCode, body } = await request(url, { headers: { Metadata: 'true' }, signal });
    const text = await body.text();
    return statusCode === 200 ? (VmSize.safeParse(text.trim()).data ?? null) : null;
  } catch {
    return null;
  }
}
