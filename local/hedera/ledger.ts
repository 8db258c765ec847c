/**
 * The one ledger behind every simulated node: takes transactions in, brings them to consensus after a delay (or on
 * `tick`), answers for receipts. Timestamps of consensus strictly increase and are shared by all nodes.
 */
import { createNodeMemory, freshlyHandled } from './dedup.ts';
import type { Faults } from './faults.ts';
import { handleTransaction } from './handle.ts';
import { checkIngest, type IngestResult } from './ingest.ts';
import type { Journal } from './journal.ts';
import type { SimClock } from './sim-clock.ts';
import { createLedgerState, type GenesisAccount, type HandledTransaction, type LedgerState } from './state.ts';
import { type DecodedTransaction, decodeSigned } from './transaction.ts';
import { type Status, topicText } from './wire.ts';

const NANOS_STEP = 1_000n;

export interface LedgerOptions {
  readonly nodes: readonly string[];
  readonly treasuryPublicKey: Uint8Array;
  readonly genesis: readonly GenesisAccount[];
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
  /** One node's precheck; a transaction answered OK comes to consensus later. `ordered`: a refusal that a fault wants. */
  submit(node: string, transactionBytes: Uint8Array, ordered?: Status): Status;
  /** What a node knows of a transaction id; nothing any more 180 s after consensus. */
  receipt(node: string, transactionId: string): ReceiptAnswer;
  /** Brings everything pending to consensus now; resolves once all of it is handled (at once, if no contract runs). */
  tick(): Promise<void>;
  /** Precheck and consensus at once, for setting a network up. Throws while a contract runs. */
  executeNow(node: string, transactionBytes: Uint8Array): HandledTransaction;
  onHandled(listener: (transaction: HandledTransaction) => void): () => void;
  /** The ledger's time. */
  nowNanos(): bigint;
  /** How many transactions were accepted and wait for consensus. */
  pendingCount(): number;
  /** Forgets everything, the journal's entries too; the first accounts are as at birth. Throws while a contract runs. */
  reset(): void;
  stop(): void;
}

interface Pending {
  readonly transaction: DecodedTransaction;
  timer: NodeJS.Timeout | undefined;
}

/** Reads the journal's transactions again first. */
export async function createLedger(options: LedgerOptions): Promise<Ledger> {
  const { clock, faults, journal } = options;
  const newState = () => createLedgerState(options.treasuryPublicKey, options.nodes, options.genesis);
  const state = newState();
  const memory = createNodeMemory();
  const pending = new Set<Pending>();
  const listeners = new Set<(transaction: HandledTransaction) => void>();
  /** Taken from `pending`, not handled yet: a handler that takes its time holds up those behind it. */
  const queue: DecodedTransaction[] = [];
  let draining: Promise<void> | undefined;

  for (const { consensusNanos, status, signedBytes } of journal.entries) {
    const transaction = decodeSigned(signedBytes);
    if (transaction === undefined) throw new Error('the journal holds an empty transaction');
    const handledAtMs = Number(consensusNanos / 1_000_000n);
    await handleTransaction(state, transaction, {
      consensusNanos,
      handledAtMs,
      forcedStatus: status,
      isRepeated: true,
    });
  }

  const handle = (transaction: DecodedTransaction): HandledTransaction | Promise<HandledTransaction> | undefined => {
    const effect = faults.take('consensus', consensusFacts(transaction));
    if (effect !== undefined && 'drop' in effect) return undefined;
    const now = clock.nowNanos();
    const after = state.lastConsensusNanos + NANOS_STEP;
    const consensusNanos = now > after ? now : after;
    const finish = (handled: HandledTransaction): HandledTransaction => {
      journal.append({ consensusNanos, status: handled.status, signedBytes: transaction.signedBytes });
      for (const listener of listeners) listener(handled);
      return handled;
    };
    const handled = handleTransaction(state, transaction, {
      consensusNanos,
      handledAtMs: clock.nowMs(),
      forcedStatus: effect !== undefined && 'status' in effect ? effect.status : undefined,
    });
    return handled instanceof Promise ? handled.then(finish) : finish(handled);
  };

  /** Handles the queue in order; synchronously, as far as the handlers are. */
  const drain = (): Promise<void> | undefined => {
    if (draining !== undefined) return draining;
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const handled = handle(next);
      if (!(handled instanceof Promise)) continue;
      draining = handled.then(() => {
        draining = undefined;
        return drain();
      });
      return draining;
    }
    return undefined;
  };

  const check = (node: string, transactionBytes: Uint8Array, ordered?: Status): IngestResult => {
    const nowNanos = clock.ingestNanos();
    const isKnown = (id: string): boolean =>
      memory.hasHeard(node, id, clock.nowNanos()) || freshlyHandled(state, id, clock.nowNanos()).length > 0;
    const refusal = ordered === undefined || ordered === 'OK' ? {} : { ordered };
    const result = checkIngest(transactionBytes, { node, nowNanos, state, isKnown, ...refusal });
    if (result.status === 'OK') memory.hear(node, result.transaction.id, clock.nowNanos());
    return result;
  };

  const forget = (): void => {
    for (const entry of pending) clearTimeout(entry.timer);
    pending.clear();
    queue.length = 0;
  };

  return {
    state,
    submit(node, transactionBytes, ordered) {
      const result = check(node, transactionBytes, ordered);
      if (result.status !== 'OK') return result.status;
      const entry: Pending = { transaction: result.transaction, timer: undefined };
      pending.add(entry);
      if (options.consensusDelayMs !== 'manual') {
        entry.timer = setTimeout(() => {
          pending.delete(entry);
          queue.push(entry.transaction);
          void drain();
        }, options.consensusDelayMs);
      }
      return 'OK';
    },
    receipt(node, transactionId) {
      const handled = freshlyHandled(state, transactionId, clock.nowNanos());
      if (handled.length > 0) return { kind: 'handled', transactions: handled };
      return { kind: memory.hasHeard(node, transactionId, clock.nowNanos()) ? 'pending' : 'unheard' };
    },
    async tick() {
      for (const entry of [...pending]) {
        clearTimeout(entry.timer);
        pending.delete(entry);
        queue.push(entry.transaction);
      }
      await drain();
    },
    executeNow(node, transactionBytes) {
      if (draining !== undefined) throw new Error('a contract is being executed: consensus takes nothing else now');
      const result = check(node, transactionBytes);
      if (result.status !== 'OK') throw new Error(`the simulated ledger refused its own transaction: ${result.status}`);
      const handled = handle(result.transaction);
      if (handled instanceof Promise) throw new Error('a contract cannot be executed at once');
      if (handled?.status !== 'SUCCESS')
        throw new Error(`the simulated ledger ended its own transaction ${handled?.status ?? 'nowhere'}`);
      return handled;
    },
    onHandled(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    nowNanos: () => clock.nowNanos(),
    pendingCount: () => pending.size + queue.length,
    reset() {
      if (draining !== undefined) throw new Error('a contract is being executed: nothing is reset now');
      forget();
      memory.clear();
      journal.clear();
      Object.assign(state, newState());
    },
    stop() {
      forget();
      listeners.clear();
    },
  };
}

function consensusFacts(transaction: DecodedTransaction) {
  const topic = transaction.body.consensusSubmitMessage?.topicID;
  return {
    node: transaction.node,
    payer: transaction.payer,
    ...(transaction.kind === undefined ? {} : { type: transaction.kind }),
    ...(topic == null ? {} : { topic: topicText(topic) }),
  };
}
