/** A witness: keeps every checkpoint that the public log shows while the system is being disturbed. */
import { setTimeout as delay } from 'node:timers/promises';
import type { TrustDocument } from '../../domain/trust.ts';
import { areEqual } from '../../log/bytes.ts';
import { verifyCheckpoint } from '../../log/checkpoint.ts';
import { parseVkey } from '../../log/note.ts';

const EVERY_MS = 150;

export interface SeenCheckpoint {
  readonly size: bigint;
  readonly root: Uint8Array;
}

export interface Watch {
  /** In the order of their sizes. */
  readonly seen: readonly SeenCheckpoint[];
  readonly faults: readonly string[];
  /** Looks once more and ends. */
  stop(): Promise<void>;
}

export function watchLog(apiUrl: string, trust: TrustDocument): Watch {
  const keys = trust.vkeys.map(({ vkey }) => parseVkey(vkey));
  const seen: SeenCheckpoint[] = [];
  const faults: string[] = [];
  const stopping = new AbortController();

  const look = async (): Promise<void> => {
    const response = await fetch(`${apiUrl}/log/checkpoint`, { signal: AbortSignal.timeout(3_000) });
    const note = await response.text();
    if (response.status !== 200) return;
    const verdict = await verifyCheckpoint(note, keys, trust.origin);
    if (!verdict.valid) {
      faults.push(`a checkpoint does not verify: ${verdict.reason}`);
      return;
    }
    const { size, root } = verdict.checkpoint;
    const last = seen.at(-1);
    if (last !== undefined && size < last.size) faults.push(`the log went back from ${last.size} to ${size}`);
    else if (last?.size !== size) seen.push({ size, root });
    else if (!areEqual(last.root, root)) faults.push(`two roots at size ${size}`);
  };

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await look().catch(() => {});
      await delay(EVERY_MS, undefined, { signal: stopping.signal }).catch(() => {});
    }
    await look();
  })();
  return {
    seen,
    faults,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
