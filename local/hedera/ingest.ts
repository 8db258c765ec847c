/** The checks of a consensus node before it passes a transaction on, in the order of the real node's IngestChecker. */
import { feeTinybars } from './fees.ts';
import { hasAmbiguousPrefixes, isSatisfied } from './keys.ts';
import type { LedgerState } from './state.ts';
import { type DecodedTransaction, decodeTransaction, isHandled } from './transaction.ts';
import { type Status, timeToNanos } from './wire.ts';

export const MAX_TRANSACTION_BYTES = 6_144;
const MAX_MEMO_BYTES = 100;
const MIN_VALID_SECONDS = 15;
const MAX_VALID_SECONDS = 180;
/** What must be left of the validity when a node accepts. */
const EXPIRY_BUFFER_NANOS = 10_000_000_000n;
const SECOND_NANOS = 1_000_000_000n;

export interface IngestContext {
  readonly node: string;
  readonly nowNanos: bigint;
  readonly state: LedgerState;
  /** Whether this node took the id already, or consensus handled it. */
  readonly isKnown: (id: string) => boolean;
}

export type IngestResult =
  | { readonly status: 'OK'; readonly transaction: DecodedTransaction }
  | { readonly status: Exclude<Status, 'OK'> };

export function checkIngest(transactionBytes: Uint8Array, context: IngestContext): IngestResult {
  if (transactionBytes.length > MAX_TRANSACTION_BYTES) return { status: 'TRANSACTION_OVERSIZE' };
  const transaction = decodeTransaction(transactionBytes);
  if (transaction === undefined) return { status: 'INVALID_TRANSACTION' };
  const refused =
    checkShape(transaction) ??
    (transaction.node === context.node ? undefined : 'INVALID_NODE_ACCOUNT') ??
    checkTimeBox(transaction, context.nowNanos) ??
    (context.isKnown(transaction.id) ? 'DUPLICATE_TRANSACTION' : undefined) ??
    checkContent(transaction) ??
    checkPayer(transaction, context.state);
  return refused === undefined ? { status: 'OK', transaction } : { status: refused };
}

type Refusal = Exclude<Status, 'OK'> | undefined;

function checkShape({ body, kind }: DecodedTransaction): Refusal {
  if (kind === undefined) return 'INVALID_TRANSACTION_BODY';
  if (body.transactionID?.transactionValidStart == null) return 'INVALID_TRANSACTION_ID';
  if (body.transactionID.scheduled || (body.transactionID.nonce ?? 0) !== 0) return 'TRANSACTION_ID_FIELD_NOT_ALLOWED';
  if (body.transactionID.accountID == null) return 'PAYER_ACCOUNT_NOT_FOUND';
  if (Buffer.byteLength(body.memo) > MAX_MEMO_BYTES) return 'MEMO_TOO_LONG';
  if (body.memo.includes('\0')) return 'INVALID_ZERO_BYTE_IN_STRING';
  return isHandled(kind) ? undefined : 'NOT_SUPPORTED';
}

function checkTimeBox({ body, validSeconds, validStartNanos }: DecodedTransaction, nowNanos: bigint): Refusal {
  if (body.transactionValidDuration == null || validSeconds < MIN_VALID_SECONDS || validSeconds > MAX_VALID_SECONDS) {
    return 'INVALID_TRANSACTION_DURATION';
  }
  const endNanos = validStartNanos + BigInt(validSeconds) * SECOND_NANOS;
  if (nowNanos >= endNanos - EXPIRY_BUFFER_NANOS) return 'TRANSACTION_EXPIRED';
  return timeToNanos(body.transactionID?.transactionValidStart) > nowNanos ? 'INVALID_TRANSACTION_START' : undefined;
}

function checkContent({ body }: DecodedTransaction): Refusal {
  const submit = body.consensusSubmitMessage;
  return submit != null && (submit.message ?? new Uint8Array()).length === 0 ? 'INVALID_TOPIC_MESSAGE' : undefined;
}

function checkPayer(transaction: DecodedTransaction, state: LedgerState): Refusal {
  const payer = state.accounts.get(transaction.payer);
  if (payer === undefined) return 'PAYER_ACCOUNT_NOT_FOUND';
  if (hasAmbiguousPrefixes(transaction.pairs)) return 'KEY_PREFIX_MISMATCH';
  if (!isSatisfied(payer.key, transaction.pairs, transaction.bodyBytes)) return 'INVALID_SIGNATURE';
  const fee = feeOf(transaction);
  if (transaction.maxFee < fee) return 'INSUFFICIENT_TX_FEE';
  return payer.balanceTinybars < fee ? 'INSUFFICIENT_PAYER_BALANCE' : undefined;
}

/** The fee of a transaction whose body is handled here. */
export function feeOf({ body, kind, pairs }: DecodedTransaction): bigint {
  if (!isHandled(kind)) return 0n;
  const topic = body.consensusCreateTopic;
  return feeTinybars({
    kind,
    signatures: pairs.length,
    messageBytes: body.consensusSubmitMessage?.message?.length ?? 0,
    keys: [topic?.adminKey, topic?.submitKey].filter((key) => key != null).length,
  });
}
