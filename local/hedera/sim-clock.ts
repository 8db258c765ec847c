/**
 * The simulator's time: the machine's, moved by an offset that tests and the fault interface advance. Held (`manual`),
 * consensus and mirrors stand still but for what is advanced; what a node judges validity by goes on with the machine's
 * time and the same offset, since clients make their transactions by their own clock.
 */
export interface SimClock {
  /** Of consensus and mirrors. */
  nowMs(): number;
  nowNanos(): bigint;
  /** What a node compares a transaction's validity with. */
  ingestNanos(): bigint;
  advance(ms: number): void;
  hold(): void;
  release(): void;
  readonly mode: 'wall' | 'manual';
  /** Calls back after the time was moved, held or released; returns how to stop that. */
  onMove(listener: () => void): () => void;
}

export function createSimClock(base: () => number = Date.now, mode: 'wall' | 'manual' = 'wall'): SimClock {
  let offsetMs = 0;
  let heldAtMs = mode === 'manual' ? base() : undefined;
  const listeners = new Set<() => void>();
  const nowMs = (): number => (heldAtMs ?? base()) + offsetMs;
  const tell = (): void => {
    for (const listener of [...listeners]) listener();
  };
  return {
    nowMs,
    nowNanos: () => BigInt(nowMs()) * 1_000_000n,
    ingestNanos: () => BigInt(base() + offsetMs) * 1_000_000n,
    advance(ms) {
      offsetMs += ms;
      tell();
    },
    hold() {
      heldAtMs ??= base();
      tell();
    },
    release() {
      heldAtMs = undefined;
      tell();
    },
    get mode() {
      return heldAtMs === undefined ? 'wall' : 'manual';
    },
    onMove(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
