/** Keys of an instance in memory, each derived from a seed: a new run has the same public keys. */
import { createECDH, createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import type { PublishedKey } from '../../domain/bundle.ts';
import { keyReference } from '../../domain/seal.ts';

export interface TestKey {
  readonly kid: string;
  readonly version: number;
  readonly privateKey: KeyObject;
  readonly jwk: Readonly<Record<string, string>>;
  /** r‖s of ES256, or the 64 bytes of Ed25519. */
  readonly sign: (message: Uint8Array) => Uint8Array;
  readonly reference: string;
}

const seedOf = (seed: string): Buffer => createHash('sha256').update(`proofline test vectors: ${seed}`).digest();

export function p256(kid: string, version: number, seed: string): TestKey {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(seedOf(seed));
  const point = ecdh.getPublicKey();
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33).toString('base64url'),
  };
  const privateKey = createPrivateKey({
    key: { ...jwk, d: ecdh.getPrivateKey().toString('base64url').padStart(43, 'A') },
    format: 'jwk',
  });
  return {
    kid,
    version,
    privateKey,
    jwk,
    sign: (message) => new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
    reference: keyReference(kid, version),
  };
}

export function ed25519(kid: string, version: number, seed: string): TestKey {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const privateKey = createPrivateKey({ key: Buffer.concat([prefix, seedOf(seed)]), format: 'der', type: 'pkcs8' });
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return {
    kid,
    version,
    privateKey,
    jwk: { kty: 'OKP', crv: 'Ed25519', x: x as string },
    sign: (message) => new Uint8Array(sign(null, message, privateKey)),
    reference: keyReference(kid, version),
  };
}

export function publish(
  key: TestKey,
  purpose: PublishedKey['purpose'],
  window: Partial<Pick<PublishedKey, 'validFrom' | 'validTo' | 'state' | 'compromisedAt'>> = {},
): PublishedKey {
  return {
    kid: key.kid,
    version: key.version,
    purpose,
    alg: key.jwk.kty === 'EC' ? 'ES256' : 'EdDSA',
    jwk: key.jwk,
    validFrom: '2026-01-01T00:00:00Z',
    state: 'active',
    ...window,
  };
}
