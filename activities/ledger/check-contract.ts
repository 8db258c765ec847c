/**
 * One mirror's testimony about one call of the registry contract. A call that reverted because the root stands there
 * already is answered by the entry that does: which, if it is the one that was wanted, is the anchor.
 */
import type { ContractAnchorEntry } from '../../domain/bundle.ts';
import { equalBytes } from '../../domain/bytes.ts';
import {
  ANCHORED_TOPIC,
  decodeAlreadyAnchored,
  nameRegistryError,
  registryEntryOf,
} from '../../domain/ledger/checkpoint-registry.ts';
import {
  formatMirrorTransactionId,
  formatTransactionId,
  type LedgerTransactionId,
  parseEntityId,
  parseLedgerTime,
  parseTransactionId,
} from '../../domain/ledger/entity-id.ts';
import { findCallFault } from '../../domain/ledger/registry-call.ts';
import type { PreparedCall } from './contract-ledger.ts';
import { decisiveCopy, type MirrorClient } from './mirror-client.ts';

/** `block.timestamp` is of the record file's first transaction: the entry lies at most so far behind it. */
const BEFORE_SECONDS = 2n;
const AFTER_SECONDS = 10n;

export type ContractTestimony =
  | { readonly kind: 'ok'; readonly entry: ContractAnchorEntry }
  | { readonly kind: 'not-yet' | 'mismatch'; readonly detail: string };

type Call = Omit<PreparedCall, 'signedBytes'>;

/** Takes at most five requests. Throws MirrorUnreachable. */
export async function checkContract(
  mirror: MirrorClient,
  prepared: Call,
  /** SHA-384 of each node's copy. */
  hashes: readonly Uint8Array[],
): Promise<ContractTestimony> {
  const id = parseTransactionId(prepared.transactionId);
  if (id === undefined) return mismatch(`${prepared.transactionId} is not a transaction id`);
  const transaction = decisiveCopy((await mirror.transaction(id)) ?? []);
  if (transaction === undefined) return notYet('the transaction');
  if (!hashes.some((hash) => equalBytes(hash, transaction.hash)))
    return mismatch('the transaction hash is of none of the bytes we sent');
  const call = await mirror.read(`contracts/results/${formatMirrorTransactionId(id)}`);
  if (call === undefined) return notYet('the result of the call');
  if (transaction.result === 'CONTRACT_REVERT_EXECUTED') {
    const refusal = decodeAlreadyAnchored(String(call.error_message));
    if (refusal === undefined) return mismatch('the call reverted, and not because the root stands there already');
    return findStanding(mirror, prepared, refusal.anchoredAt);
  }
  if (transaction.result !== 'SUCCESS') return mismatch(`the call ended ${transaction.result}, expected SUCCESS`);
  if (transaction.entityId !== prepared.contractId)
    return mismatch(`the transaction is about ${transaction.entityId}, expected ${prepared.contractId}`);
  return testify(call, prepared, id, transaction.consensusTimestamp);
}

/** The name of the contract's error that a call reverted with, its first bytes for another; undefined while the mirror does not show it. */
export async function readRevert(mirror: MirrorClient, transactionId: string): Promise<string | undefined> {
  const id = parseTransactionId(transactionId);
  if (id === undefined) return undefined;
  const message = (await mirror.read(`contracts/results/${formatMirrorTransactionId(id)}`))?.error_message;
  if (typeof message !== 'string') return undefined;
  return nameRegistryError(message) ?? message.slice(0, 40);
}

async function findStanding(mirror: MirrorClient, prepared: Call, anchoredAt: bigint): Promise<ContractTestimony> {
  const wanted = registryEntryOf(prepared.message);
  const range = `timestamp=gte:${anchoredAt - BEFORE_SECONDS}.000000000&timestamp=lte:${anchoredAt + AFTER_SECONDS}.000000000`;
  const found = await mirror.read(
    `contracts/${prepared.contractId}/results/logs?topic0=${ANCHORED_TOPIC}&topic1=${wanted?.root ?? ''}&${range}&limit=1`,
  );
  const time = timeOf(first(found?.logs)?.timestamp);
  if (time === undefined) return notYet('the entry that stands');
  const id = idOf(first((await mirror.read(`transactions?timestamp=${time}&limit=1`))?.transactions)?.transaction_id);
  const call = id && (await mirror.read(`contracts/results/${formatMirrorTransactionId(id)}`));
  if (id === undefined || call === undefined) return notYet('the call of the entry that stands');
  return testify(call, prepared, id, time);
}

function testify(
  call: Record<string, unknown>,
  { network, contractId, message }: Call,
  id: LedgerTransactionId,
  consensusTimestamp: string,
): ContractTestimony {
  const { shard, realm, num } = id.payer;
  const entry: ContractAnchorEntry = {
    ledger: 'hedera-contract/v1',
    network,
    contractId,
    consensusTimestamp,
    transactionId: formatTransactionId(id),
    payer: `${shard}.${realm}.${num}`,
    publisher: typeof call.from === 'string' && /^0x[0-9a-f]{40}$/.test(call.from) ? call.from : '0x',
    message,
  };
  const fault = findCallFault(call, entry);
  return fault === undefined ? { kind: 'ok', entry } : mismatch(`the contract's entry has ${fault}`);
}

function mismatch(detail: string): ContractTestimony {
  return { kind: 'mismatch', detail };
}

function notYet(what: string): ContractTestimony {
  return { kind: 'not-yet', detail: `it does not show ${what}` };
}

function first(rows: unknown): Record<string, unknown> | undefined {
  const row: unknown = Array.isArray(rows) ? rows[0] : undefined;
  return typeof row === 'object' && row !== null ? (row as Record<string, unknown>) : undefined;
}

function timeOf(text: unknown): string | undefined {
  return typeof text === 'string' && parseLedgerTime(text) !== undefined ? text : undefined;
}

/** Mirrors write `0.0.x-seconds-nanos`. */
function idOf(text: unknown): LedgerTransactionId | undefined {
  const match = typeof text === 'string' ? /^(\d+\.\d+\.\d+)-(\d+)-(\d{9})$/.exec(text) : null;
  if (match === null || parseEntityId(match[1] ?? '') === undefined) return undefined;
  return parseTransactionId(`${match[1]}@${match[2]}.${match[3]}`);
}
