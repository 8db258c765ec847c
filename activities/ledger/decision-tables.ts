/**
 * What each answer of the network means for an anchor. A transaction that may be under way is never given up: only
 * answers that come before any copy was accepted, or after consensus, end it.
 */

export type SubmitDecision = 'sent' | 'resend' | 'rejected' | 'too-late';

/** Precheck answers. Whatever is not listed was refused for a reason of ours: a person looks, and retrying asks the mirrors first. */
export const PRECHECK_DECISIONS = {
  OK: 'sent',
  // Already in flight or done: the first copy counts.
  DUPLICATE_TRANSACTION: 'sent',
  BUSY: 'resend',
  UNKNOWN: 'resend',
  PLATFORM_TRANSACTION_NOT_CREATED: 'resend',
  PLATFORM_NOT_ACTIVE: 'resend',
  WAITING_FOR_LEDGER_ID: 'resend',
  // Our clock is ahead, or theirs behind: the same bytes are right in a moment.
  INVALID_TRANSACTION_START: 'resend',
  TRANSACTION_EXPIRED: 'too-late',
  // The address book changed: these bytes fit no node any more.
  INVALID_NODE_ACCOUNT: 'resend',
  INVALID_SIGNATURE: 'rejected',
  INSUFFICIENT_TX_FEE: 'rejected',
  INSUFFICIENT_PAYER_BALANCE: 'rejected',
  PAYER_ACCOUNT_NOT_FOUND: 'rejected',
  MEMO_TOO_LONG: 'rejected',
  INVALID_TOPIC_MESSAGE: 'rejected',
  TRANSACTION_OVERSIZE: 'rejected',
  NOT_SUPPORTED: 'rejected',
} as const satisfies Record<string, SubmitDecision>;

export function decideSubmit(status: string): SubmitDecision {
  return lookUp(PRECHECK_DECISIONS, status) ?? 'rejected';
}

export type ReceiptDecision = 'consensus' | 'pending' | 'abandoned' | 'failed';

/** Statuses after consensus. Whatever is not listed did not execute, and would not the next time either. */
export const RECEIPT_DECISIONS = {
  SUCCESS: 'consensus',
  OK: 'pending',
  UNKNOWN: 'pending',
  RECEIPT_NOT_FOUND: 'pending',
  BUSY: 'pending',
  PLATFORM_NOT_ACTIVE: 'pending',
  // Only beside a first copy, whose own receipt is the one that counts.
  DUPLICATE_TRANSACTION: 'pending',
  THROTTLED_AT_CONSENSUS: 'abandoned',
  TRANSACTION_EXPIRED: 'abandoned',
  INVALID_TOPIC_ID: 'failed',
  INVALID_SIGNATURE: 'failed',
  MESSAGE_SIZE_TOO_LARGE: 'failed',
  TOPIC_EXPIRED: 'failed',
  INSUFFICIENT_PAYER_BALANCE: 'failed',
  PAYER_ACCOUNT_NOT_FOUND: 'failed',
} as const satisfies Record<string, ReceiptDecision>;

export function decideReceipt(status: string): ReceiptDecision {
  return lookUp(RECEIPT_DECISIONS, status) ?? 'failed';
}

function lookUp<T>(table: Readonly<Record<string, T>>, status: string): T | undefined {
  return Object.hasOwn(table, status) ? table[status] : undefined;
}
