/** Between consensus and the handlers of each kind of transaction: what a handler is given, and what it answers. */
import type { proto } from '@hiero-ledger/proto';
import type { ContractRun } from './evm-state.ts';
import type { LedgerState, TopicMessage } from './state.ts';
import type { DecodedTransaction } from './transaction.ts';
import type { Status } from './wire.ts';

export interface ConsensusMoment {
  readonly consensusNanos: bigint;
  readonly handledAtMs: number;
  /** Ends the transaction with this status instead of handling it: an armed fault, or what a journal recorded. */
  readonly forcedStatus?: Status | undefined;
  /** Read from a journal. */
  readonly isRepeated?: boolean;
}

/** What a handler is given. */
export interface Execution {
  readonly state: LedgerState;
  readonly transaction: DecodedTransaction;
  readonly moment: ConsensusMoment;
  readonly isSigned: (key: proto.IKey) => boolean;
  /** Adds to a balance, below nothing too, and to the transaction's list of transfers. False if there is no such account. */
  readonly credit: (account: string, tinybars: bigint) => boolean;
}

export interface Outcome {
  readonly status: Status;
  readonly entity?: string;
  readonly message?: TopicMessage;
  readonly contract?: ContractRun;
  /** Of the fee that was charged beforehand, what the handler gave back. */
  readonly unusedTinybars?: bigint;
}

/** May take its time: consensus waits for it before it takes the next transaction. */
export type Handler = (execution: Execution) => Outcome | Promise<Outcome>;
