/** A token bucket per client address, in the memory of one process: keeps one address from using up the public routes. */
import type { Clock } from '../domain/clock.ts';

export interface RateLimiter {
  /** Tokens that a full bucket holds, and seconds in which an empty one fills. */
  readonly burst: number;
  readonly windowSeconds: number;
  /** Takes a token. `remaining` after it; `retryAfterSeconds` is 0 if one was there. */
  take(address: string): { readonly remaining: number; readonly retryAfterSeconds: number };
}

const MAX_ADDRESSES = 50_000;

export function createRateLimiter(clock: Clock, burst = 120, windowSeconds = 60): RateLimiter {
  const buckets = new Map<string, { tokens: number; atMs: number }>();
  const perMs = burst / (windowSeconds * 1000);
  return {
    burst,
    windowSeconds,
    take(address) {
      const nowMs = clock.nowMs();
      const bucket = buckets.get(address) ?? { tokens: burst, atMs: nowMs };
      const tokens = Math.min(burst, bucket.tokens + Math.max(0, nowMs - bucket.atMs) * perMs);
      const left = tokens >= 1 ? tokens - 1 : tokens;
      // Re-inserted, so that the map's order is that of last use and the oldest goes first.
      buckets.delete(address);
      buckets.set(address, { tokens: left, atMs: nowMs });
      if (buckets.size > MAX_ADDRESSES) {
        const oldest = buckets.keys().next().value;
        if (oldest !== undefined) buckets.delete(oldest);
      }
      return {
        remaining: Math.floor(left),
        retryAfterSeconds: tokens >= 1 ? 0 : Math.ceil((1 - tokens) / perMs / 1000),
      };
    },
  };
}
