import type { BundleTimestamp } from '../bundle.ts';
import { fromBase64Url } from '../bytes.ts';
import type { DigestAlgorithm } from '../digest.ts';
import type { HashName } from '../timestamp/hashes.ts';
import { type ArchiveStep, archiveSteps } from './archive-steps.ts';

const NAMES: Readonly<Record<DigestAlgorithm, HashName>> = {
  'sha-256': 'SHA-256',
  'sha-384': 'SHA-384',
  'sha-512': 'SHA-512',
};
const bytesOf = (text: string): Uint8Array => fromBase64Url(text) ?? new Uint8Array(0);

/** A bundle's timestamp with its renewals as steps over `data`. Throws RangeError as `archiveSteps` does. */
export function stepsOfTimestamp(data: Uint8Array, { token, renewals = [] }: BundleTimestamp): readonly ArchiveStep[] {
  let hash: HashName = 'SHA-256';
  const later = renewals.map((renewal) => {
    hash = renewal.hash === undefined ? hash : NAMES[renewal.hash];
    return { token: bytesOf(renewal.token), path: (renewal.path ?? []).map(bytesOf), hash };
  });
  return archiveSteps(data, [{ token: bytesOf(token), path: [], hash: 'SHA-256' }, ...later]);
}
