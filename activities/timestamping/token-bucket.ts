/** How many requests an authority grants in what time. */
export interface BucketLimit {
  /** Requests at once, and at most held. */
  readonly capacity: number;
  /** One more each so many milliseconds. */
  readonly refillMs: number;
}

/** A token bucket: `take` says whether a request may go out now. Starts full. */
export function createTokenBucket(limit: BucketLimit, nowMs: () => number): { take(): boolean } {
  let held = limit.capacity;
  let at = nowMs();
  return {
    take() {
      const now = nowMs();
      // A clock set back grants nothing and takes nothing away.
      held = Math.min(limit.capacity, held + Math.max(0, now - at) / limit.refillMs);
      at = now;
      if (held < 1) return false;
      held--;
      return true;
    },
  };
}
