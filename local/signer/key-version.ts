import type { Clock } from '../../domain/clock.ts';

export const PURPOSES = ['seal', 'log-checkpoint', 'certificate', 'tx-hedera', 'tsa'] as const;
/** What a key may be used for; one purpose each, so that a signature of one kind can never be taken for another. */
export type Purpose = (typeof PURPOSES)[number];

export type KeyAlg = 'ES256' | 'EdDSA';

export type KeyState = 'pre-active' | 'active' | 'verify-only' | 'suspended' | 'compromised' | 'destroyed';

/** Public part of a key version, as it is stored; instants are RFC 3339. The windows are half-open. */
export interface KeyVersion {
  readonly kid: string;
  readonly version: number;
  readonly purpose: Purpose;
  readonly alg: KeyAlg;
  /** DER SubjectPublicKeyInfo, base64. */
  readonly spki: string;
  readonly jwk: PublicJwk;
  /** PEM, leaf first, root last; empty for keys that no certificate names. */
  readonly chain: readonly string[];
  readonly createdAt: string;
  readonly activateAt: string;
  readonly notSignAfter?: string;
  readonly retireAt?: string;
  /** Set by an operator; overrules the windows. */
  readonly withdrawn?: 'suspended' | 'compromised' | 'destroyed';
  readonly compromisedAt?: string;
}

export interface PublicJwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y?: string;
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
