/** The simulator's time: the machine's, moved by an offset that tests and the fault interface advance. */
export interface SimClock {
  nowMs(): number;
  nowNanos(): bigint;
  advance(ms: number): void;
}

export function createSimClock(base: () => number = Date.now): SimClock {
  let offsetMs = 0;
  return {
    nowMs: () => base() + offsetMs,
    nowNanos: () => BigInt(base() + offsetMs) * 1_000_000n,
    advance: (ms) => {
      offsetMs += ms;
    },
  };
}
