import { createPrivateKey, randomBytes } from 'node:crypto';
import { systemClock } from '../../domain/clock.ts';
import type { TsaAuthority } from './answer-query.ts';
import { makeLeaf, type TestCa } from './authority-certificates.ts';
import type { TsaSignatureAlgorithm } from './build-token.ts';
import { nodeSigner } from './sign-in-process.ts';

const KEY_PARAMETERS: Record<TsaSignatureAlgorithm, EcKeyGenParams | RsaHashedKeyGenParams> = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
};

/** An authority with a new key below `issuer`; the key stays in this process. For `startTsa` and `answerQuery`. */
export async function makeAuthority(
  issuer: TestCa,
  algorithm: TsaSignatureAlgorithm = 'ES256',
): Promise<{ readonly keys: CryptoKeyPair; readonly authority: TsaAuthority }> {
  const keys = (await crypto.subtle.generateKey(KEY_PARAMETERS[algorithm], true, ['sign', 'verify'])) as CryptoKeyPair;
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const authority: TsaAuthority = {
    certificate: await makeLeaf(issuer, keys.publicKey),
    chain: [issuer.der],
    sign: nodeSigner(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }), algorithm),
    signatureAlgorithm: algorithm,
    policy: '1.3.6.1.4.1.99999.1.1',
    clock: systemClock(),
    random: (length) => new Uint8Array(randomBytes(length)),
  };
  return { keys, authority };
}
