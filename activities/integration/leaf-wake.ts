/**
 * Wakes the integrator when leaves are queued: LISTEN on a connection of its own from the pool. Losing it costs at
 * most one poll interval of delay, never a leaf.
 */
import type pg from 'pg';
import type { Db } from '../../store/pool.ts';

export interface LeafWake {
  /** Resolves at the first notification since the last call, after `timeoutMs`, or when `signal` aborts. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

const CHANNEL = 'proofline_leaf';
const RECONNECT_MS = 5_000;

/** Opens the wake; the first connection is made in the background. */
export function createLeafWake(db: Db): LeafWake {
  let client: pg.PoolClient | undefined;
  let dropClient: (() => void) | undefined;
  let isClosed = false;
  let isRung = false;
  let ring: (() => void) | undefined;
  let retryAtMs = 0;

  const onNotification = (): void => {
    isRung = true;
    ring?.();
  };

  async function connect(): Promise<void> {
    retryAtMs = performance.now() + RECONNECT_MS;
    let fresh: pg.PoolClient;
    try {
      fresh = await db.connect();
    } catch {
      return;
    }
    let isHeld = true;
    // Never back into the pool alive: it would go on listening.
    const drop = (): void => {
      if (client === fresh) client = undefined;
      if (isHeld) fresh.release(true);
      isHeld = false;
    };
    fresh.on('error', drop);
    fresh.on('end', drop);
    fresh.on('notification', onNotification);
    await fresh.query(`LISTEN ${CHANNEL}`).catch(drop);
    if (isClosed || !isHeld) {
      drop();
      return;
    }
    client = fresh;
    dropClient = drop;
    // What was queued before this connection listened rang for nobody.
    onNotification();
  }

  let connecting: Promise<void> | undefined;
  const keepConnected = (): void => {
    if (isClosed || client !== undefined || connecting !== undefined || performance.now() < retryAtMs) return;
    connecting = connect().finally(() => {
      connecting = undefined;
    });
  };

  keepConnected();
  return {
    async wait(timeoutMs, signal) {
      keepConnected();
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
    close() {
      isClosed = true;
      dropClient?.();
    },
  };
}
