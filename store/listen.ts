import type pg from 'pg';
import type { Db } from './pool.ts';

/** Channels that transactions notify at commit. A notification only says "look"; of proofline_done alone a payload may say where (`ring-done.ts`). */
export type Channel =
  | 'proofline_intake'
  | 'proofline_outbox'
  | 'proofline_leaf'
  | 'proofline_sealed'
  | 'proofline_stampable'
  | 'proofline_done'
  | 'proofline_commands'
  | 'proofline_pdf'
  | 'proofline_wakes';

const RECONNECT_MS = 1_000;

export interface Listening {
  stop(): Promise<void>;
}

/**
 * Calls `onNotify` for each notification, and once, with an empty payload, after every (re)connection, since what was notified meanwhile is
 * lost. Holds one connection of the pool. A lost connection is taken up again after a second, for ever.
 */
export function listen(
  db: Db,
  channels: readonly Channel[],
  onNotify: (channel: Channel, payload: string) => void,
): Listening {
  let stopped = false;
  let release: (() => void) | undefined;
  let retry: NodeJS.Timeout | undefined;

  const again = (): void => {
    if (!stopped) retry = setTimeout(() => void connect(), RECONNECT_MS);
  };
  /** What gives this connection back, whoever asks first: a connection that is lost is told by an event and by its query. */
  const releaseOnce = (held: pg.PoolClient): (() => void) => {
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      release = undefined;
      held.removeAllListeners('notification');
      held.release(true);
      again();
    };
  };
  const connect = async (): Promise<void> => {
    let held: pg.PoolClient;
    try {
      held = await db.connect();
    } catch {
      return again();
    }
    const giveUp = releaseOnce(held);
    release = giveUp;
    // Stays on the connection: it may tell of its end after it was given back.
    held.on('error', giveUp);
    if (stopped) return giveUp();
    try {
      held.on('notification', ({ channel, payload = '' }) => onNotify(channel as Channel, payload));
      for (const channel of channels) await held.query(`LISTEN ${channel}`);
    } catch {
      return giveUp();
    }
    if (release === giveUp) for (const channel of channels) onNotify(channel, '');
  };
  void connect();

  return {
    async stop() {
      stopped = true;
      clearTimeout(retry);
      release?.();
    },
  };
}
