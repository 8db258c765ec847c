/** What the simulated ledger knows: accounts, topics with their messages, and every transaction it handled. */
import type { proto } from '@hiero-ledger/proto';
import type { Status } from './wire.ts';

export interface Account {
  readonly id: string;
  key: proto.IKey;
  balanceTinybars: bigint;
}

export interface TopicMessage {
  readonly topic: string;
  readonly sequenceNumber: bigint;
  readonly consensusNanos: bigint;
  readonly payer: string;
  readonly message: Uint8Array;
  readonly runningHash: Uint8Array;
  readonly initialTransaction: { readonly id: string; readonly number: number; readonly total: number };
  /** Wall time of handling, for the mirrors' lag. */
  readonly handledAtMs: number;
}

export interface Topic {
  readonly id: string;
  readonly createdNanos: bigint;
  readonly createdAtMs: number;
  memo: string;
  adminKey: proto.IKey | undefined;
  submitKey: proto.IKey | undefined;
  isDeleted: boolean;
  runningHash: Uint8Array;
  readonly messages: TopicMessage[];
}

/** A transaction that reached consensus, whatever came of it. */
export interface HandledTransaction {
  readonly id: string;
  readonly payer: string;
  readonly node: string;
  readonly kind: string;
  readonly consensusNanos: bigint;
  readonly handledAtMs: number;
  readonly validStartNanos: bigint;
  readonly validSeconds: number;
  readonly maxFee: bigint;
  readonly memo: string;
  /** SHA-384 of the signed bytes of the copy that reached consensus. */
  readonly hash: Uint8Array;
  readonly status: Status;
  readonly chargedFee: bigint;
  /** The topic or account that it created or touched. */
  readonly entity: string | undefined;
  readonly message: TopicMessage | undefined;
}

export interface LedgerState {
  readonly accounts: Map<string, Account>;
  readonly topics: Map<string, Topic>;
  /** In consensus order. */
  readonly transactions: HandledTransaction[];
  /** By transaction id, in consensus order: the first is the one that counts. */
  readonly byId: Map<string, HandledTransaction[]>;
  nextEntityNum: bigint;
  lastConsensusNanos: bigint;
}

export const TREASURY = '0.0.2';
export const FEE_COLLECTOR = '0.0.98';
export const FIRST_ENTITY_NUM = 1001n;
const TREASURY_TINYBARS = 50_000_000_000n * 100_000_000n;

/** A ledger with its treasury and node accounts, before the first transaction. */
export function createLedgerState(treasuryKey: Uint8Array, nodes: readonly string[]): LedgerState {
  const key = { ed25519: treasuryKey };
  const accounts = new Map<string, Account>();
  accounts.set(TREASURY, { id: TREASURY, key, balanceTinybars: TREASURY_TINYBARS });
  for (const id of [...nodes, FEE_COLLECTOR]) accounts.set(id, { id, key, balanceTinybars: 0n });
  return {
    accounts,
    topics: new Map(),
    transactions: [],
    byId: new Map(),
    nextEntityNum: FIRST_ENTITY_NUM,
    lastConsensusNanos: 0n,
  };
}
