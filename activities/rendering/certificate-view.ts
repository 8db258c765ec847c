/** What the page shows: the signed payload, and what is known around it. Everything else is layout. */
import type { AnchorEntry } from '../../domain/bundle.ts';
import type { CertificatePayload } from '../../domain/certificate.ts';

export const LANGUAGES = ['en', 'fr'] as const;
export type Language = (typeof LANGUAGES)[number];

/** How a tenant's documents look. */
export interface Brand {
  /** Shown at the head; the tenant's own name unless told otherwise. */
  readonly name: string;
  /** `#rrggbb`. */
  readonly colour: string;
  /** PNG or JPEG, at most 16 KiB, so that the file stays small. */
  readonly logo?: Uint8Array;
}

export const DEFAULT_COLOUR = '#1f3a5f';

export interface CertificateView {
  readonly language: Language;
  readonly payload: CertificatePayload;
  /** The canonical JSON of `payload`: attached byte for byte. */
  readonly payloadBytes: Uint8Array;
  /** The tenant's name. */
  readonly holder: string;
  readonly brand: Brand;
  /** The authority that timestamped it is run by the operator of this instance. */
  readonly isTimestampSelfOperated: boolean;
  /** The key that signs the file is one of a development signer. */
  readonly isDevelopmentKey: boolean;
  /** An anchor that came after the certificate was drafted. */
  readonly laterAnchor?: AnchorEntry;
}

/** What a ledger network is worth as a witness. */
export type NetworkKind = 'public' | 'test' | 'simulated';

export function networkKind(network: string): NetworkKind {
  if (network === 'mainnet') return 'public';
  return network === 'testnet' || network === 'previewnet' ? 'test' : 'simulated';
}
