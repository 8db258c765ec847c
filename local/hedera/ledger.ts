/**
 * The one ledger behind every simulated node: takes transactions in, brings them to consensus after a delay (or on
 * `tick`), answers for receipts. Timestamps of consensus strictly increase and are shared by all nodes.
 */
import type { Faults } from './faults.ts';
import { handleTransaction } from './handle.ts';
import { checkIngest } from './ingest.ts';
import type { Journal } from './journal.ts';
import type { SimClock } from './sim-clock.ts';
import { createLedgerState, type HandledTransaction, type LedgerState } from './state.ts';
import { type DecodedTransaction, decodeSigned } from './transaction.ts';
import type { Status } from './wire.ts';

/** How long nodes remember receipts and ids. */
const RECEIPT_NANOS = 180_000_000_000n;
const NANOS_STEP = 1_000n;

export interface LedgerOptions {
  readonly nodes: readonly string[];
  readonly treasuryPublicKey: Uint8Array;
  /** `manual`: only `tick` brings consensus. */
  readonly consensusDelayMs: number | 'manual';
  readonly clock: SimClock;
  readonly faults: Faults;
  readonly journal: Journal;
}

export type ReceiptAnswer =
  | { readonly kind: 'unheard' }
  | { readonly kind: 'pending' }
  | { readonly kind: 'handled'; readonly transactions: readonly HandledTransaction[] };

export interface Ledger {
  readonly state: LedgerState;
  /** One node's precheck; a transaction answered OK comes to consensus later. */
  submit(node: string, transactionBytes: Uint8Array): Status;
  /** What a node knows of a transaction id; nothing any more 180 s after consensus. */
  receipt(node: string, transactionId: string): ReceiptAnswer;
  /** Brings everything pending to consensus now. */
  tick(): void;
  /** Precheck and consensus at once, for setting a network up. */
  executeNow(node: string, transactionBytes: Uint8Array): HandledTransaction;
  onHandled(listener: (transaction: HandledTransaction) => void): () => void;
  stop(): void;
}

export function createLedger(options: LedgerOptions): Ledger {
  const { clock, faults, journal } = options;
  const state = createLedgerState(options.treasuryPublicKey, options.nodes);
  const heard = new Map<string, Map<string, bigint>>(options.nodes.map((node) => [node, new Map()]));
  const pending = new Set<{ transaction: DecodedTransaction; timer: NodeJS.Timeout | undefined }>();
  const listeners = new Set<(transaction: HandledTransaction) => void>();

  for (const { consensusNanos, status, signedBytes } of journal.entries) {
    const transaction = decodeSigned(signedBytes);
    if (transaction === undefined) throw new Error('the journal holds an empty transaction');
    const handledAtMs = Number(consensusNanos / 1_000_000n);
    handleTransaction(state, transaction, { consensusNanos, handledAtMs, forcedStatus: status });
  }

  const reachConsensus = (transaction: DecodedTransaction): HandledTransaction | undefined => {
    const topic = transaction.body.consensusSubmitMessage?.topicID;
    const effect = faults.take('consensus', {
      node: transaction.node,
      payer: transaction.payer,
      ...(transaction.kind === undefined ? {} : { type: transaction.kind }),
      ...(topic?.topicNum == null ? {} : { topic: `0.0.${topic.topicNum}` }),
    });
    if (effect !== undefined && 'drop' in effect) return undefined;
    const now = clock.nowNanos();
    const after = state.lastConsensusNanos + NANOS_STEP;
    const consensusNanos = now > after ? now : after;
    const handled = handleTransaction(state, transaction, {
      consensusNanos,
      handledAtMs: clock.nowMs(),
      forcedStatus: effect !== undefined && 'status' in effect ? effect.status : undefined,
    });
    journal.append({ consensusNanos, status: handled.status, signedBytes: transaction.signedBytes });
    for (const listener of listeners) listener(handled);
    return handled;
  };

  const check = (node: string, transactionBytes: Uint8Array) => {
    const ids = heard.get(node);
    const nowNanos = clock.nowNanos();
    const isKnown = (id: string): boolean => {
      const heardAt = ids?.get(id);
      return (
        (heardAt !== undefined && nowNanos - heardAt < RECEIPT_NANOS) || freshlyHandled(state, id, nowNanos).length > 0
      );
    };
    const result = checkIngest(transactionBytes, { node, nowNanos, state, isKnown });
    if (result.status === 'OK') ids?.set(result.transaction.id, nowNanos);
    return result;
  };

  return {
    state,
    submit(node, transactionBytes) {
      const result = check(node, transactionBytes);
      if (result.status !== 'OK') return result.status;
      const entry = { transaction: result.transaction, timer: undefined as NodeJS.Timeout | undefined };
      pending.add(entry);
      if (options.consensusDelayMs !== 'manual') {
        entry.timer = setTimeout(() => {
          pending.delete(entry);
          reachConsensus(entry.transaction);
        }, options.consensusDelayMs);
      }
      return 'OK';
    },
    receipt(node, transactionId) {
      const handled = freshlyHandled(state, transactionId, clock.nowNanos());
      if (handled.length > 0) return { kind: 'handled', transactions: handled };
      const heardAt = heard.get(node)?.get(transactionId);
      const isHeard = heardAt !== undefined && clock.nowNanos() - heardAt < RECEIPT_NANOS;
      return { kind: isHeard ? 'pending' : 'unheard' };
    },
    tick() {
      for (const entry of [...pending]) {
        clearTimeout(entry.timer);
        pending.delete(entry);
        reachConsensus(entry.transaction);
      }
    },
    executeNow(node, transactionBytes) {
      const result = check(node, transactionBytes);
      if (result.status !== 'OK') throw new Error(`the simulated ledger refused its own transaction: ${result.status}`);
      const handled = reachConsensus(result.transaction);
      if (handled?.status !== 'SUCCESS')
        throw new Error(`the simulated ledger ended its own transaction ${handled?.status ?? 'nowhere'}`);
      return handled;
    },
    onHandled(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop() {
      for (const entry of pending) clearTimeout(entry.timer);
      pending.clear();
      listeners.clear();
    },
  };
}

function freshlyHandled(state: LedgerState, id: string, nowNanos: bigint): HandledTransaction[] {
  return (state.byId.get(id) ?? []).filter((handled) => nowNanos - handled.consensusNanos < RECEIPT_NANOS);
}
