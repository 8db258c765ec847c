/** Time as an argument. RFC 3339 UTC with microseconds is the form of every stored and signed instant. */
export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** RFC 3339 UTC, exactly six fraction digits, e.g. `2026-01-31T08:00:00.000123Z`; never goes back within a process. */
  nowMicros(): string;
}

export function toMicros(epochMicros: bigint): string {
  const ms = Number(epochMicros / 1000n);
  const micros = (epochMicros % 1000n).toString().padStart(3, '0');
  return `${new Date(ms).toISOString().slice(0, -1)}${micros}Z`;
}

/** The machine's clock. */
export function systemClock(): Clock {
  let last = 0n;
  return {
    nowMs: () => Date.now(),
    nowMicros() {
      const now = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));
      // performance.now drifts from the wall clock when that is stepped; the wall clock wins beyond a second.
      const wall = BigInt(Date.now()) * 1000n;
      const apart = now > wall ? now - wall : wall - now;
      const taken = apart > 1_000_000n ? wall : now;
      last = taken > last ? taken : last + 1n;
      return toMicros(last);
    },
  };
}
