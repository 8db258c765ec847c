import type { PublishedKey } from '../domain/bundle.ts';
import { parseInstant } from '../domain/time.ts';
import type { ProofTime } from './timestamp.ts';
import { compromiseOf, type FoundKey } from './trust-view.ts';
import { type ClaimResult, result } from './verdict.ts';

/**
 * Claim `key`: the seal key is one of the trusted instance, and was in force when the authority stamped the
 * checkpoint: the window is judged at genTime, never at the operator's own receivedAt. A key compromised later than
 * that leaves the seal good.
 */
export function checkKey(found: FoundKey, time: ProofTime): ClaimResult {
  if (found.fault !== undefined) return result('unverified', found.fault);
  const { key, isPinned, differs } = found;
  const detail = `${key.kid}@${key.version}`;
  if (differs) return result('invalid', 'key-differs-from-trust-file', { detail });
  const compromisedAt = compromiseOf(key);
  const isOlder = compromisedAt === undefined || (time.latestMicros !== undefined && time.latestMicros < compromisedAt);
  if (!isOlder) return result('invalid', 'key-compromised', { detail, at: key.compromisedAt });
  if (key.state === 'suspended') return result('unverified', 'key-suspended', { detail });
  const { earliestMicros, latestMicros, at } = time;
  if (earliestMicros === undefined || latestMicros === undefined)
    return time.isPending
      ? result('pending', 'pending', { detail })
      : result('unverified', 'no-trusted-time', { detail });
  if (!isInWindow(key, earliestMicros, latestMicros)) return result('invalid', 'key-outside-window', { detail, at });
  if (!isPinned)
    return result('unverified', time.source === 'pinned' ? 'key-not-in-trust-file' : 'own-keys', { detail, at });
  if (!time.isVerified) return result('unverified', 'no-trusted-time', { detail, at });
  return result('valid', compromisedAt === undefined ? 'key-good' : 'key-compromised-later', { detail, at });
}

/** Whether some instant between the two lies in the key's half-open window. */
export function isInWindow(key: PublishedKey, earliestMicros: bigint, latestMicros: bigint): boolean {
  const from = parseInstant(key.validFrom);
  const to = key.validTo === undefined ? undefined : parseInstant(key.validTo);
  if (from === undefined || (key.validTo !== undefined && to === undefined)) return false;
  return latestMicros >= from && (to === undefined || earliestMicros < to);
}
