import type { Clock } from '../../domain/clock.ts';
import { SignerProblem } from './problem.ts';

/** Bytes of kept answers; the oldest go first. */
const MAX_BYTES = 64 * 1024 * 1024;

interface Kept {
  readonly requestHash: string;
  readonly answer: Promise<Buffer>;
  expiresAtMs: number;
  bytes: number;
}

export interface ReplayStore {
  /**
   * The answer kept under `key`, byte for byte, or the one that `make` gives now; twins in flight share it. Throws
   * `idempotency_conflict` if the key came with another request. A failure is not kept.
   */
  once(key: string, requestHash: string, ttlMs: number, make: () => Promise<Buffer>): Promise<Buffer>;
}

/**
 * Answers by idempotency key, in memory: a restart forgets them, as does the bound of 64 MiB. EdDSA answers are the
 * same again by construction; an ES256 answer forgotten is made anew, and whoever stored the first keeps it.
 */
export function createReplayStore(clock: Clock): ReplayStore {
  const kept = new Map<string, Kept>();
  let bytes = 0;

  function forget(key: string): void {
    bytes -= kept.get(key)?.bytes ?? 0;
    kept.delete(key);
  }

  function trim(): void {
    // A map iterates in order of insertion; answers still being made hold no bytes and are not dropped.
    for (const [key, entry] of kept) {
      if (entry.expiresAtMs > clock.nowMs() && bytes <= MAX_BYTES) break;
      if (entry.bytes > 0) forget(key);
    }
  }

  return {
    async once(key, requestHash, ttlMs, make) {
      const before = kept.get(key);
      if (before !== undefined && before.expiresAtMs > clock.nowMs()) {
        if (before.requestHash !== requestHash)
          throw new SignerProblem('idempotency_conflict', 'the key was used with another request');
        return before.answer;
      }
      forget(key);
      const entry: Kept = { requestHash, answer: make(), expiresAtMs: Number.POSITIVE_INFINITY, bytes: 0 };
      kept.set(key, entry);
      try {
        const answer = await entry.answer;
        entry.bytes = answer.length;
        entry.expiresAtMs = clock.nowMs() + ttlMs;
        bytes += answer.length;
        trim();
        return answer;
      } catch (cause) {
        if (kept.get(key) === entry) forget(key);
        throw cause;
      }
    },
  };
}
