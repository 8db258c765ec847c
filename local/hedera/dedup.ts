/** How long ids live: each node remembers what it took itself, and all of them what consensus handled. 180 seconds. */
import type { HandledTransaction, LedgerState } from './state.ts';

export const RECEIPT_NANOS = 180_000_000_000n;

export interface NodeMemory {
  hear(node: string, transactionId: string, nowNanos: bigint): void;
  hasHeard(node: string, transactionId: string, nowNanos: bigint): boolean;
  clear(): void;
}

export function createNodeMemory(): NodeMemory {
  /** By node, in the order of hearing, so that the oldest come first. */
  const heard = new Map<string, Map<string, bigint>>();
  return {
    hear(node, transactionId, nowNanos) {
      const ids = heard.get(node) ?? new Map<string, bigint>();
      heard.set(node, ids);
      for (const [id, at] of ids) {
        if (nowNanos - at < RECEIPT_NANOS) break;
        ids.delete(id);
      }
      ids.set(transactionId, nowNanos);
    },
    hasHeard(node, transactionId, nowNanos) {
      const at = heard.get(node)?.get(transactionId);
      return at !== undefined && nowNanos - at < RECEIPT_NANOS;
    },
    clear: () => heard.clear(),
  };
}

/** What consensus made of an id, as long as nodes remember it. */
export function freshlyHandled(state: LedgerState, id: string, nowNanos: bigint): HandledTransaction[] {
  return (state.byId.get(id) ?? []).filter((handled) => nowNanos - handled.consensusNanos < RECEIPT_NANOS);
}
