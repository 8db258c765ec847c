/** The checks of a consensus node before it passes a transaction on, in the order of the real node's IngestChecker. */
import { checkContractBody, gasOf } from './evm-contracts.ts';
import { type Fee, feeOfKind, withService } from './fees.ts';
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
  /** A refusal that a fault orders; it comes where the real node would come to it, so an earlier check may say another. */
  readonly ordered?: Refusal;
}

export type IngestResult =
  | { readonly status: 'OK'; readonly transaction: DecodedTransaction }
  | { readonly status: Exclude<Status, 'OK'> };

type Refusal = Exclude<Status, 'OK'> | undefined;

/** Said before a node looks at the transaction. */
const PLATFORM: readonly Refusal[] = [
  'PLATFORM_NOT_ACTIVE',
  'WAITING_FOR_LEDGER_ID',
  'TRANSACTION_OVERSIZE',
  'INVALID_TRANSACTION',
];
/** Said once every check has passed. */
const QUEUE: readonly Refusal[] = ['PLATFORM_TRANSACTION_NOT_CREATED'];

export function checkIngest(transactionBytes: Uint8Array, context: IngestContext): IngestResult {
  const { ordered } = context;
  if (ordered !== undefined && PLATFORM.includes(ordered)) return { status: ordered };
  if (transactionBytes.length > MAX_TRANSACTION_BYTES) return { status: 'TRANSACTION_OVERSIZE' };
  const transaction = decodeTransaction(transactionBytes);
  if (transaction === undefined) return { status: 'INVALID_TRANSACTION' };
  const refused =
    checkShape(transaction) ??
    (transaction.node === context.node ? undefined : 'INVALID_NODE_ACCOUNT') ??
    checkTimeBox(transaction, context.nowNanos) ??
    (context.isKnown(transaction.id) ? 'DUPLICATE_TRANSACTION' : undefined) ??
    // Throttles come here, and with them whatever else was ordered.
    (QUEUE.includes(ordered) ? undefined : ordered) ??
    checkContent(transaction) ??
    checkPayer(transaction, context.state) ??
    ordered;
  return refused === undefined ? { status: 'OK', transaction } : { status: refused };
}

function checkShape({ body, kind, pairs }: DecodedTransaction): Refusal {
  if (hasAmbiguousPrefixes(pairs)) return 'KEY_PREFIX_MISMATCH';
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

/** What can be judged without the ledger's state. */
function checkContent({ body }: DecodedTransaction): Refusal {
  const submit = body.consensusSubmitMessage;
  if (submit != null && (submit.message ?? new Uint8Array()).length === 0) return 'INVALID_TOPIC_MESSAGE';
  const memo = body.consensusCreateTopic?.memo ?? body.cryptoCreateAccount?.memo ?? '';
  if (Buffer.byteLength(memo) > MAX_MEMO_BYTES) return 'MEMO_TOO_LONG';
  return memo.includes('\0') ? 'INVALID_ZERO_BYTE_IN_STRING' : checkContractBody(body);
}

function checkPayer(transaction: DecodedTransaction, state: LedgerState): Refusal {
  const payer = state.accounts.get(transaction.payer);
  if (payer === undefined) return 'PAYER_ACCOUNT_NOT_FOUND';
  if (!isSatisfied(payer.key, transaction.pairs, transaction.bodyBytes)) return 'INVALID_SIGNATURE';
  const fee = feeOf(transaction).total;
  if (transaction.maxFee < fee) return 'INSUFFICIENT_TX_FEE';
  return payer.balanceTinybars < fee ? 'INSUFFICIENT_PAYER_BALANCE' : undefined;
}

/** The fee of a transaction whose body is handled here. */
export function feeOf({ body, kind, pairs }: DecodedTransaction): Fee {
  if (!isHandled(kind)) return withService(0n);
  const topic = body.consensusCreateTopic;
  return feeOfKind({
    kind,
    signatures: pairs.length,
    gas: gasOf(body),
    messageBytes: body.consensusSubmitMessage?.message?.length ?? 0,
    keys: [topic?.adminKey, topic?.submitKey].filter((key) => key != null).length,
  });
}
