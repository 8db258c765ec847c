/**
 * Leaves a failing authority alone: open after `failures` in a row, for `openMs` first and twice as long each time, up to
 * `maxOpenMs`; then one try decides. A fault that will not pass by itself opens it at once.
 */
export interface BreakerLimits {
  readonly failures: number;
  readonly openMs: number;
  readonly maxOpenMs: number;
}

export type BreakerState = 'closed' | 'open' | 'half-open';

export interface CircuitBreaker {
  state(): BreakerState;
  /** Whether a request may go out; in `half-open` only one at a time may. */
  admit(): boolean;
  succeeded(): void;
  failed(isLasting?: boolean): void;
  /** The request ended without saying anything about the authority. */
  abandoned(): void;
}

export function createCircuitBreaker(limits: BreakerLimits, nowMs: () => number): CircuitBreaker {
  let inRow = 0;
  let openedAt: number | undefined;
  let openForMs = limits.openMs;
  let isTrying = false;

  const state = (): BreakerState => {
    if (openedAt === undefined) return 'closed';
    const since = nowMs() - openedAt;
    // A clock set back must not keep it open for longer than it was meant to be.
    return since >= openForMs || since < 0 ? 'half-open' : 'open';
  };
  return {
    state,
    admit() {
      const now = state();
      if (now === 'open' || (now === 'half-open' && isTrying)) return false;
      isTrying = now === 'half-open';
      return true;
    },
    succeeded() {
      inRow = 0;
      openedAt = undefined;
      openForMs = limits.openMs;
      isTrying = false;
    },
    failed(isLasting = false) {
      inRow++;
      const wasTrying = isTrying;
      isTrying = false;
      if (!wasTrying && !isLasting && inRow < limits.failures) return;
      if (wasTrying || openedAt !== undefined) openForMs = Math.min(openForMs * 2, limits.maxOpenMs);
      openedAt = nowMs();
    },
    abandoned() {
      isTrying = false;
    },
  };
}
