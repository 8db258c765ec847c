/** Wakes a loop when a channel says so. Losing the connection costs at most one poll of delay, never work. */
import { type Channel, listen } from './listen.ts';
import type { Db } from './pool.ts';

export interface Wake {
  /** Resolves at the first ring since the last call, after `timeoutMs`, or when `signal` aborts; at once where there is no time to wait. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Listens on one connection of the pool; each connection begins with a ring, since what was queued before rang for nobody. */
export function createWake(db: Db, channel: Channel): Wake {
  let isRung = false;
  let ring: (() => void) | undefined;
  const listening = listen(db, [channel], () => {
    isRung = true;
    ring?.();
  });
  return {
    async wait(timeoutMs, signal) {
      if (!isRung && !signal.aborted && timeoutMs > 0) {
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
