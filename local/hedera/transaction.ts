/** One submitted transaction, decoded: `Transaction` → `SignedTransaction` → `TransactionBody`. */
import { createHash } from 'node:crypto';
import { proto } from '@hiero-ledger/proto';
import { TRANSACTION_KINDS, type TransactionKind } from './fees.ts';
import { accountText, timeToNanos, toBig, transactionIdText } from './wire.ts';

export interface DecodedTransaction {
  readonly signedBytes: Uint8Array;
  readonly bodyBytes: Uint8Array;
  readonly body: proto.TransactionBody;
  readonly pairs: readonly proto.ISignaturePair[];
  /** The member of the body that is set, `undefined` when none is. */
  readonly kind: string | undefined;
  readonly id: string;
  readonly payer: string;
  readonly node: string;
  readonly validStartNanos: bigint;
  readonly validSeconds: number;
  readonly maxFee: bigint;
  readonly hash: Uint8Array;
}

export function isHandled(kind: string | undefined): kind is TransactionKind {
  return (TRANSACTION_KINDS as readonly (string | undefined)[]).includes(kind);
}

/** Undefined for bytes that are no signed transaction. */
export function decodeTransaction(transactionBytes: Uint8Array): DecodedTransaction | undefined {
  try {
    return decodeSigned(proto.Transaction.decode(transactionBytes).signedTransactionBytes);
  } catch {
    return undefined;
  }
}

/** As `decodeTransaction`, from the bytes that the transaction's hash is taken over. Throws on bytes that do not decode. */
export function decodeSigned(signedBytes: Uint8Array): DecodedTransaction | undefined {
  if (signedBytes.length === 0) return undefined;
  const signed = proto.SignedTransaction.decode(signedBytes);
  const body = proto.TransactionBody.decode(signed.bodyBytes);
  const id = body.transactionID ?? {};
  return {
    signedBytes,
    bodyBytes: signed.bodyBytes,
    body,
    pairs: signed.sigMap?.sigPair ?? [],
    kind: body.data,
    id: transactionIdText(id),
    payer: accountText(id.accountID),
    node: accountText(body.nodeAccountID),
    validStartNanos: timeToNanos(id.transactionValidStart),
    validSeconds: Number(toBig(body.transactionValidDuration?.seconds)),
    maxFee: toBig(body.transactionFee),
    hash: createHash('sha384').update(signedBytes).digest(),
  };
}
