/** What the rest of the house knows of a ledger. Nothing of an SDK crosses this line. */
import type { HcsAnchorEntry } from '../../domain/bundle.ts';

/** A transaction that may be sent any number of times: it is executed at most once. */
export interface Prepared {
  readonly network: string;
  readonly topicId: string;
  /** `payer@seconds.nnnnnnnnn` */
  readonly transactionId: string;
  readonly payer: string;
  readonly validSeconds: number;
  readonly nodes: readonly string[];
  readonly message: string;
  /** `signer://kid@version`, and the public keys in hex, in order of signing. */
  readonly keyRefs: readonly string[];
  readonly publicKeys: readonly string[];
  readonly maxFeeTinybars: string;
  readonly signedBytes: Uint8Array;
}

/** The status of a send whose answer never came: a copy may be under way. */
export const OUTCOME_UNKNOWN = 'OUTCOME_UNKNOWN';

/** `resend`: the same bytes again, later. `too-late`: nothing was sent, its validity ends. */
export type SubmitOutcome =
  | { readonly kind: 'sent' | 'resend' | 'rejected'; readonly status: string }
  | { readonly kind: 'too-late'; readonly status: string };

export interface Receipt {
  /** Absent when a mirror told of the success, not a node. */
  readonly sequenceNumber?: string;
  /** base64url of 48 bytes */
  readonly runningHash?: string;
}

/** `abandoned`: it reached consensus and definitively did not execute for a passing reason; a new transaction may be made. */
export type ReceiptOutcome =
  | { readonly kind: 'consensus'; readonly receipt: Receipt }
  | { readonly kind: 'pending' }
  | { readonly kind: 'abandoned' | 'failed'; readonly status: string };

/** `seen`: some mirrors show it rightly, not yet as many as the quorum asks for. */
export type Confirmation =
  | {
      readonly kind: 'verified';
      readonly entry: HcsAnchorEntry;
      readonly mirrors: readonly MirrorVerdict[];
      /** Decimal: what the payer was charged. */
      readonly feeTinybars?: string;
    }
  | { readonly kind: 'seen' | 'pending' | 'suspect'; readonly mirrors: readonly MirrorVerdict[] };

export interface MirrorVerdict {
  readonly mirror: string;
  readonly verdict: 'ok' | 'not-yet' | 'unreachable' | 'mismatch';
  readonly detail: string;
}

export interface LedgerHealth {
  readonly mirrors: readonly { readonly mirror: string; readonly lagMs: number | undefined }[];
  /** Decimal; undefined while no mirror answers. */
  readonly payerTinybars: string | undefined;
}

export interface AnchorLedger {
  /** Builds and signs; sends nothing. Throws ANCHOR_MESSAGE_TOO_LONG, SIGNER_*. */
  prepare(message: string): Promise<Prepared>;
  /** Sends the very bytes once to each of its nodes at most. Never throws for what the network does. */
  submit(prepared: Prepared): Promise<SubmitOutcome>;
  /** Asks one node, another each time. */
  receipt(prepared: Prepared, round: number): Promise<ReceiptOutcome>;
  /** What mirrors say of a transaction of which no receipt is known. */
  lookUp(prepared: Prepared): Promise<ReceiptOutcome>;
  /** Compares what mirrors show with what was sent, and recomputes the running hash. */
  confirm(prepared: Prepared, receipt: Receipt): Promise<Confirmation>;
  /**
   * The same, for an operator who does not believe some mirrors, nor the nodes' receipt: every other mirror that answers
   * must show it, and one must.
   */
  confirmWithout(prepared: Prepared, distrustedMirrors: readonly string[]): Promise<Confirmation>;
  /** Whether the transaction did not and will never execute: the only licence to prepare another. */
  provenAbsent(prepared: Prepared): Promise<boolean>;
  /** Whether a node may still accept the bytes. */
  isSendable(prepared: Prepared): boolean;
  health(): Promise<LedgerHealth>;
  close(): void;
}
