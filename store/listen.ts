import type pg from 'pg';
import type { Db } from './pool.ts';

/** Channels that transactions notify at commit. Payloads are empty: a notification only says "look". */
export type Channel =
  | 'proofline_intake'
  | 'proofline_outbox'
  | 'proofline_leaf'
  | 'proofline_stampable'
  | 'proofline_done'
  | 'proofline_commands'
  | 'proofline_pdf';

const RECONNECT_MS = 1_000;

export interface Listening {
  stop(): Promise<void>;
}

/**
 * Calls `onNotify` for each notification, and once after every (re)connection, since what was notified meanwhile is
 * lost. Holds one connection of the pool. A lost connection is taken up again after a second, for ever.
 */
export function listen(db: Db, channels: readonly Channel[], onNotify: (channel: Channel) => void): Listening {
  let stopped = false;
  let client: pg.PoolClient | undefined;
  let retry: NodeJS.Timeout | undefined;

  const again = (): void => {
    client = undefined;
    if (!stopped) retry = setTimeout(() => void connect(), RECONNECT_MS);
  };
  const connect = async (): Promise<void> => {
    let fresh: pg.PoolClient | undefined;
    try {
      fresh = await db.connect();
      const held = fresh;
      held.once('error', (error) => {
        held.release(error);
        again();
      });
      held.on('notification', ({ channel }) => onNotify(channel as Channel));
      for (const channel of channels) await held.query(`LISTEN ${channel}`);
      if (stopped) {
        held.release(true);
        return;
      }
      client = held;
      for (const channel of channels) onNotify(channel);
    } catch {
      fresh?.removeAllListeners('error');
      fresh?.on('error', () => undefined);
      fresh?.release(true);
      again();
    }
  };
  void connect();

  return {
    async stop() {
      stopped = true;
      clearTimeout(retry);
      client?.removeAllListeners('notification');
      client?.removeAllListeners('error');
      client?.on('error', () => undefined);
      client?.release(true);
      client = undefined;
    },
  };
}
