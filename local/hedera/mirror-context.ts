/** One mirror's view of the shared ledger: what it has imported, by its own lag, or up to when it was paused. */
import type { AddressBook } from './address-book.ts';
import type { SimClock } from './sim-clock.ts';
import type { LedgerState } from './state.ts';

/** Set its members; who streams from the mirror is told. */
export interface MirrorControl {
  lagMs: number;
  /** Rows handled after this instant stay invisible. */
  pausedAtMs: number | undefined;
  onChange(listener: () => void): () => void;
}

export interface MirrorContext {
  readonly state: LedgerState;
  readonly clock: SimClock;
  readonly control: MirrorControl;
  readonly bornAtMs: number;
  readonly book: AddressBook;
}

export function createMirrorControl(firstLagMs: number): MirrorControl {
  let lagMs = firstLagMs;
  let pausedAtMs: number | undefined;
  const listeners = new Set<() => void>();
  const tell = (): void => {
    for (const listener of [...listeners]) listener();
  };
  return {
    get lagMs() {
      return lagMs;
    },
    set lagMs(value) {
      lagMs = value;
      tell();
    },
    get pausedAtMs() {
      return pausedAtMs;
    },
    set pausedAtMs(value) {
      pausedAtMs = value;
      tell();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The newest instant whose rows this mirror has imported. */
export function horizonMs({ clock, control }: MirrorContext): number {
  const now = clock.nowMs() - control.lagMs;
  return control.pausedAtMs === undefined ? now : Math.min(now, control.pausedAtMs);
}

export const isVisible = (context: MirrorContext, row: { readonly handledAtMs: number }): boolean =>
  row.handledAtMs <= horizonMs(context);
