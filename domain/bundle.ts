/**
 * The bundle: everything needed to verify one proof, downloadable from SEALED on and upgraded in place. All byte
 * values are base64url without padding unless said; sizes, indices and sequence numbers are decimal strings.
 */
import type { DigestAlgorithm } from './digest.ts';
import type { Statement } from './statement.ts';

export const BUNDLE_MEDIA_TYPE = 'application/vnd.proofline.bundle+json';
export const BUNDLE_TYPE = 'proofline/bundle/v1';

/** Where the leaf is in the tree of one checkpoint: RFC 6962 §2.1.1 audit path, leaf to root, 32 bytes each. */
export interface Inclusion {
  readonly origin: string;
  readonly index: string;
  readonly size: string;
  readonly path: readonly string[];
}

/** An RFC 3161 token (DER), the name of its authority in the trust file, and revocation lists (DER) stored at acceptance. */
export interface StoredToken {
  readonly tsa: string;
  readonly token: string;
  readonly crls?: readonly string[];
}

/** A token over SHA-256 of the body of the bundle's checkpoint. */
export interface BundleTimestamp extends StoredToken {
  /** Renewals before a certificate ends or a hash function weakens (RFC 4998 §5.2), oldest first. */
  readonly renewals?: readonly TokenRenewal[];
}

/** A token over the hash of the token before it, or, with `hash`, over the data and all evidence up to then (hash-tree renewal). */
export interface TokenRenewal extends StoredToken {
  /** From that hash to what the token is over: neighbours in a sorted tree (RFC 4998 §4.2). Absent: the hash itself. */
  readonly path?: readonly string[];
  /** The hash function from here on; absent: the one so far, which is SHA-256 at the start. */
  readonly hash?: DigestAlgorithm;
}

/** A checkpoint's record on a ledger. */
export type AnchorEntry = HcsAnchorEntry | ContractAnchorEntry;

interface AnchorEntryParts {
  readonly network: string;
  /** `seconds.nnnnnnnnn`. */
  readonly consensusTimestamp: string;
  /** `0.0.x@seconds.nnnnnnnnn`. */
  readonly transactionId: string;
  readonly payer: string;
  /** The ASCII message, `pl1|…`. */
  readonly message: string;
  /** Where they differ from the bundle's own. */
  readonly checkpoint?: string;
  readonly inclusion?: Inclusion;
}

/** A message on the Hedera Consensus Service. */
export interface HcsAnchorEntry extends AnchorEntryParts {
  readonly ledger: 'hedera-hcs/v1';
  readonly topicId: string;
  readonly sequenceNumber: string;
  readonly prevRunningHash: string;
  readonly runningHash: string;
}

/** An entry of the registry contract (`contracts/CheckpointRegistry.sol`), made by a call whose arguments follow from the message. */
export interface ContractAnchorEntry extends AnchorEntryParts {
  readonly ledger: 'hedera-contract/v1';
  readonly contractId: string;
  /** Who called: `0x` and 40 lower-case digits. */
  readonly publisher: string;
}

/** A public key of ours that the evidence uses, with the window in which it signs. */
export interface PublishedKey {
  readonly kid: string;
  readonly version: number;
  readonly purpose: 'seal' | 'certificate' | 'log-checkpoint';
  readonly alg: 'ES256' | 'EdDSA';
  readonly jwk: Readonly<Record<string, string>>;
  readonly validFrom: string;
  readonly validTo?: string;
  readonly state: 'active' | 'verify-only' | 'suspended' | 'compromised' | 'destroyed' | 'pre-active';
  readonly compromisedAt?: string;
}

export interface Bundle {
  readonly type: typeof BUNDLE_TYPE;
  readonly statement: Statement;
  /** Detached JWS `header..signature` over JCS(statement). */
  readonly seal: string;
  /** Absent until the leaf is under a published checkpoint. */
  readonly inclusion?: Inclusion;
  /** A C2SP signed note. Absent with `inclusion`. */
  readonly checkpoint?: string;
  readonly timestamps: readonly BundleTimestamp[];
  readonly anchors: readonly AnchorEntry[];
  /** Compact JWS, once issued. */
  readonly certificate?: string;
  /** What is still to come, in order; empty when nothing is. */
  readonly pending: readonly ('inclusion' | 'timestamp' | 'anchor' | 'certificate')[];
  readonly keys: readonly PublishedKey[];
}
