/** What the simulated ledger knows: accounts, topics with their messages, and every transaction it handled. */
import type { proto } from '@hiero-ledger/proto';
import { type ContractRun, type Contracts, createContracts } from './evm-state.ts';
import type { Status } from './wire.ts';

export interface Account {
  readonly id: string;
  readonly createdNanos: bigint;
  readonly createdAtMs: number;
  key: proto.IKey;
  memo: string;
  /** 20 bytes, of an account that was created with an alias; else its number makes the address. */
  readonly evmAddress: Uint8Array | undefined;
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
  /** Time of handling, for the mirrors' lag. */
  readonly handledAtMs: number;
}

export interface Topic {
  readonly id: string;
  readonly createdNanos: bigint;
  readonly createdAtMs: number;
  /** Of the newest change, creation included. */
  changedNanos: bigint;
  memo: string;
  adminKey: proto.IKey | undefined;
  submitKey: proto.IKey | undefined;
  autoRenewAccount: string | undefined;
  autoRenewSeconds: number;
  isDeleted: boolean;
  runningHash: Uint8Array;
  readonly messages: TopicMessage[];
}

export interface Transfer {
  readonly account: string;
  /** Tinybars; what leaves the account is negative. */
  readonly amount: bigint;
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
  /** Fees and amounts together, by account; they add up to nothing. */
  readonly transfers: readonly Transfer[];
  /** The topic, account or contract that it created or touched. */
  readonly entity: string | undefined;
  readonly message: TopicMessage | undefined;
  /** What the virtual machine made of it. */
  readonly contract: ContractRun | undefined;
}

export interface LedgerState {
  readonly accounts: Map<string, Account>;
  readonly topics: Map<string, Topic>;
  readonly contracts: Contracts;
  /** In consensus order. */
  readonly transactions: HandledTransaction[];
  /** By transaction id, in consensus order: the first is the one that counts. */
  readonly byId: Map<string, HandledTransaction[]>;
  nextEntityNum: bigint;
  lastConsensusNanos: bigint;
}

/** An account that exists from the start, beside the treasury's and the nodes'. */
export interface GenesisAccount {
  /** Below 0.0.1001: later ids are given by the network. */
  readonly id: string;
  readonly key: proto.IKey;
  readonly balanceTinybars: bigint;
}

export const TREASURY = '0.0.2';
/** Takes every fee; nodes get their share of it later, not with each transaction (HIP-1259). */
export const FEE_COLLECTOR = '0.0.802';
export const FIRST_ENTITY_NUM = 1001n;
export const DEFAULT_AUTO_RENEW_SECONDS = 7_776_000;
const TREASURY_TINYBARS = 50_000_000_000n * 100_000_000n;

/** A ledger with its first accounts, before the first transaction. */
export function createLedgerState(
  treasuryKey: Uint8Array,
  nodes: readonly string[],
  genesis: readonly GenesisAccount[] = [],
): LedgerState {
  const state: LedgerState = {
    accounts: new Map(),
    topics: new Map(),
    contracts: createContracts(),
    transactions: [],
    byId: new Map(),
    nextEntityNum: FIRST_ENTITY_NUM,
    lastConsensusNanos: 0n,
  };
  const key = { ed25519: treasuryKey };
  addGenesisAccount(state, { id: TREASURY, key, balanceTinybars: TREASURY_TINYBARS });
  for (const id of [...nodes, FEE_COLLECTOR]) addGenesisAccount(state, { id, key, balanceTinybars: 0n });
  for (const account of genesis) addGenesisAccount(state, account);
  return state;
}

/** 20 bytes: its alias, or its number with zeros before it. */
export function evmAddressOfAccount({ id, evmAddress }: Pick<Account, 'id' | 'evmAddress'>): Uint8Array {
  if (evmAddress !== undefined) return evmAddress;
  const num = BigInt(id.split('.')[2] ?? 0);
  return Buffer.from(num.toString(16).padStart(40, '0'), 'hex');
}

export function addGenesisAccount(state: LedgerState, account: GenesisAccount): void {
  state.accounts.set(account.id, { ...account, createdNanos: 0n, createdAtMs: 0, memo: '', evmAddress: undefined });
}
