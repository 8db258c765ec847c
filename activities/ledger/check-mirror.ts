/**
 * One mirror's testimony about one transaction, compared with what we sent and what the nodes' receipt said. A row
 * that is missing is "not yet"; a row that says something else is a mismatch, and nothing explains that away.
 */

import type { HcsAnchorEntry } from '../../domain/bundle.ts';
import { equalBytes, fromBase64Url, toBase64Url, utf8 } from '../../domain/bytes.ts';
import { findAnchorEntryFault } from '../../domain/ledger/anchor-entry.ts';
import { parseTransactionId } from '../../domain/ledger/entity-id.ts';
import { FIRST_PREV_RUNNING_HASH, RUNNING_HASH_VERSION } from '../../domain/ledger/running-hash.ts';
import type { Prepared, Receipt } from './anchor-ledger.ts';
import { decisiveCopy, type MirrorClient, type MirrorMessage, type MirrorTransaction } from './mirror-client.ts';

export type Testimony =
  | { readonly kind: 'ok'; readonly entry: HcsAnchorEntry; readonly chargedTinybars: bigint | undefined }
  | { readonly kind: 'not-yet' | 'mismatch'; readonly detail: string };

/** Takes at most four requests. Throws MirrorUnreachable. */
export async function checkMirror(
  mirror: MirrorClient,
  prepared: Prepared,
  receipt: Receipt,
  /** SHA-384 of each node's copy. */
  hashes: readonly Uint8Array[],
): Promise<Testimony> {
  const id = parseTransactionId(prepared.transactionId);
  if (id === undefined) return mismatch(`${prepared.transactionId} is not a transaction id`);
  const transactions = await mirror.transaction(id);
  if (transactions === undefined) return { kind: 'not-yet', detail: 'it does not show the transaction' };
  const transaction = decisiveCopy(transactions);
  if (transaction === undefined) return { kind: 'not-yet', detail: 'it shows only children of the transaction' };
  const transactionFault = findTransactionFault(transaction, prepared, hashes);
  if (transactionFault !== undefined) return mismatch(transactionFault);

  const message =
    receipt.sequenceNumber === undefined
      ? await mirror.messageByTime(transaction.consensusTimestamp)
      : await mirror.messageBySequence(prepared.topicId, BigInt(receipt.sequenceNumber));
  if (message === undefined) return { kind: 'not-yet', detail: 'it does not show the message' };
  const messageFault = findMessageFault(message, transaction, prepared, receipt);
  if (messageFault !== undefined) return mismatch(messageFault);

  const before = await readPredecessor(mirror, message);
  if (before === undefined) return { kind: 'not-yet', detail: 'it does not show the message before' };
  const entry: HcsAnchorEntry = {
    ledger: 'hedera-hcs/v1',
    network: prepared.network,
    topicId: prepared.topicId,
    sequenceNumber: message.sequenceNumber.toString(),
    consensusTimestamp: message.consensusTimestamp,
    transactionId: prepared.transactionId,
    payer: prepared.payer,
    message: prepared.message,
    prevRunningHash: toBase64Url(before),
    runningHash: toBase64Url(message.runningHash),
  };
  const arithmeticFault = findAnchorEntryFault(entry);
  return arithmeticFault === undefined
    ? { kind: 'ok', entry, chargedTinybars: transaction.chargedTinybars }
    : mismatch(arithmeticFault);
}

function mismatch(detail: string): Testimony {
  return { kind: 'mismatch', detail };
}

function findTransactionFault(
  row: MirrorTransaction,
  prepared: Prepared,
  hashes: readonly Uint8Array[],
): string | undefined {
  if (row.result !== 'SUCCESS') return `the transaction ended ${row.result}, expected SUCCESS`;
  if (row.entityId !== prepared.topicId)
    return `the transaction is about ${row.entityId}, expected ${prepared.topicId}`;
  if (!hashes.some((hash) => equalBytes(hash, row.hash))) return 'the transaction hash is of none of the bytes we sent';
  return undefined;
}

function findMessageFault(
  row: MirrorMessage,
  transaction: MirrorTransaction,
  prepared: Prepared,
  receipt: Receipt,
): string | undefined {
  if (!equalBytes(row.message, utf8.encode(prepared.message))) return 'the message is another';
  if (row.topicId !== prepared.topicId) return `the topic is ${row.topicId}, expected ${prepared.topicId}`;
  if (row.payer !== prepared.payer) return `the payer is ${row.payer}, expected ${prepared.payer}`;
  if (row.consensusTimestamp !== transaction.consensusTimestamp) return 'message and transaction bear different times';
  if (row.runningHashVersion !== RUNNING_HASH_VERSION)
    return `running hash version ${row.runningHashVersion}, expected 3`;
  if (receipt.sequenceNumber !== undefined && row.sequenceNumber.toString() !== receipt.sequenceNumber) {
    return `sequence number ${row.sequenceNumber}, the receipt says ${receipt.sequenceNumber}`;
  }
  const promised = receipt.runningHash === undefined ? undefined : fromBase64Url(receipt.runningHash);
  if (promised !== undefined && !equalBytes(promised, row.runningHash))
    return 'the running hash is not that of the receipt';
  return undefined;
}

/** The running hash before this message. */
async function readPredecessor(mirror: MirrorClient, message: MirrorMessage): Promise<Uint8Array | undefined> {
  if (message.sequenceNumber === 1n) return FIRST_PREV_RUNNING_HASH;
  return (await mirror.messageBySequence(message.topicId, message.sequenceNumber - 1n))?.runningHash;
}
