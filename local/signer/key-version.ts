import type { Clock } from '../../domain/clock.ts';

export const PURPOSES = [
  'seal',
  'log-checkpoint',
  'certificate',
  'pdf',
  'tx-hedera',
  'tx-evm',
  'hmac',
  'decrypt',
  'tsa',
] as const;
/** What a key may be used for; one purpose each, so that a signature of one kind can never be taken for another. */
export type Purpose = (typeof PURPOSES)[number];

/**
 * ES256, EdDSA (Ed25519), RS256 and PS256 as in RFC 7518 and RFC 8037 (RSA of 2,048 bits), `ES256K-KECCAK` ECDSA on
 * secp256k1 over Keccak-256 with the lower s (Hedera, Ethereum), HS256, RSA-OAEP-256, A256GCM.
 */
export const KEY_ALGS = [
  'ES256',
  'EdDSA',
  'RS256',
  'PS256',
  'ES256K-KECCAK',
  'HS256',
  'RSA-OAEP-256',
  'A256GCM',
] as const;
export type KeyAlg = (typeof KEY_ALGS)[number];

/** What a key of each purpose may be. */
export const ALGS_OF: Readonly<Record<Purpose, readonly KeyAlg[]>> = {
  seal: ['ES256'],
  'log-checkpoint': ['EdDSA'],
  certificate: ['ES256'],
  pdf: ['ES256', 'RS256', 'PS256'],
  'tx-hedera': ['EdDSA', 'ES256K-KECCAK'],
  'tx-evm': ['ES256K-KECCAK'],
  hmac: ['HS256'],
  decrypt: ['RSA-OAEP-256', 'A256GCM'],
  tsa: ['ES256', 'RS256', 'PS256'],
};

/** Keys that are one secret, without a public half. */
export const isSymmetric = (alg: KeyAlg): boolean => alg === 'HS256' || alg === 'A256GCM';

export const KEY_STATES = ['pre-active', 'active', 'verify-only', 'suspended', 'compromised', 'destroyed'] as const;
export type KeyState = (typeof KEY_STATES)[number];

/** Public part of a key version, as it is stored; instants are RFC 3339. The windows are half-open. */
export interface KeyVersion {
  readonly kid: string;
  readonly version: number;
  readonly purpose: Purpose;
  readonly alg: KeyAlg;
  /** DER SubjectPublicKeyInfo, base64; absent of a symmetric key, as is `jwk`. */
  readonly spki?: string;
  readonly jwk?: PublicJwk;
  /** PEM, leaf first, root last; empty for keys that no certificate names. */
  readonly chain: readonly string[];
  readonly createdAt: string;
  readonly activateAt: string;
  readonly notSignAfter?: string;
  readonly retireAt?: string;
  /** May sign a digest that the signer did not compute; never said of keys for PDFs, checkpoints and transactions. */
  readonly digests?: boolean;
  /** Set by an operator; overrules the windows. */
  readonly withdrawn?: 'suspended' | 'compromised' | 'destroyed';
  readonly compromisedAt?: string;
}

/** EC and OKP keys have crv, x (and y), RSA keys n and e. */
export interface PublicJwk {
  readonly kty: string;
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
  readonly n?: string;
  readonly e?: string;
}

/** The state at this moment: what an operator said, else what the windows say. */
export function stateOf(version: KeyVersion, clock: Clock): KeyState {
  if (version.withdrawn !== undefined) return version.withdrawn;
  const now = clock.nowMs();
  if (now < Date.parse(version.activateAt)) return 'pre-active';
  if (version.notSignAfter !== undefined && now >= Date.parse(version.notSignAfter)) return 'verify-only';
  return 'active';
}

/** The newest version that signs now. */
export function primaryOf<V extends { readonly meta: KeyVersion }>(
  versions: readonly V[],
  clock: Clock,
): V | undefined {
  return versions
    .filter((v) => stateOf(v.meta, clock) === 'active')
    .toSorted((a, b) => b.meta.version - a.meta.version)[0];
}
