/** An authority for tests, its keys made in this process and never written. */
import { createPrivateKey, randomBytes } from 'node:crypto';
import { systemClock } from '../../domain/clock.ts';
import type { TsaAuthority } from './answer-query.ts';
import { makeAlternates, makeCa, makeLeaf, type TestCa } from './authority-certificates.ts';
import type { TsaSignatureAlgorithm } from './build-token.ts';
import { nodeSigner } from './sign-in-process.ts';

const KEY_PARAMETERS: Record<TsaSignatureAlgorithm, EcKeyGenParams | RsaHashedKeyGenParams> = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
};
export interface TestAuthority {
  readonly root: TestCa;
  readonly issuer: TestCa;
  readonly keys: CryptoKeyPair;
  /** For startTsa and answerQuery. */
  readonly authority: TsaAuthority;
}

/** An authority with a key of its own below root and intermediate, and a certificate for every fault that needs one. */
export async function makeTestAuthority(algorithm: TsaSignatureAlgorithm = 'ES256'): Promise<TestAuthority> {
  const root = await makeCa('Proofline test root');
  const issuer = await makeCa('Proofline test issuer', root);
  const keys = (await crypto.subtle.generateKey(KEY_PARAMETERS[algorithm], true, ['sign', 'verify'])) as CryptoKeyPair;
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const signWith = nodeSigner(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }), algorithm);
  const authority: TsaAuthority = {
    certificate: await makeLeaf(issuer, keys.publicKey),
    chain: [issuer.der],
    sign: signWith,
    signatureAlgorithm: algorithm,
    policy: '1.3.6.1.4.1.99999.1.1',
    clock: systemClock(),
    random: (length) => new Uint8Array(randomBytes(length)),
    alternates: await makeAlternates(issuer, keys.publicKey),
  };
  return { root, issuer, keys, authority };
}
