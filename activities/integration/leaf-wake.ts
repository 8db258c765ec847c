/** Wakes the integrator when leaves are queued. Losing the connection costs at most one poll of delay, never a leaf. */
import { listen } from '../../store/listen.ts';
import type { Db } from '../../store/pool.ts';

export interface LeafWake {
  /** Resolves at the first ring since the last call, after `timeoutMs`, or when `signal` aborts. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Listens on one connection of the pool; each connection begins with a ring, since what was queued before rang for nobody. */
export function createLeafWake(db: Db): LeafWake {
  let isRung = false;
  let ring: (() => void) | undefined;
  const listening = listen(db, ['proofline_leaf'], () => {
    isRung = true;
    ring?.();
  });
  return {
    async wait(timeoutMs, signal) {
      if (!isRung && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const done = (): void => {
            clearTimeout(timer);
            signal.removeEventListener('abort', done);
            ring = undefined;
            resolve();
          };
          const timer = setTimeout(done, timeoutMs);
          signal.addEventListener('abort', done, { once: true });
          ring = done;
        });
      }
      isRung = false;
    },
    close: () => listening.stop(),
  };
}
