import { constants, type KeyObject, sign } from 'node:crypto';
import type { TsaAuthority } from './answer-query.ts';
import type { TsaSignatureAlgorithm } from './build-token.ts';

/** Signs with a key in this process, in the form of CMS. */
export function nodeSigner(key: KeyObject, algorithm: TsaSignatureAlgorithm): TsaAuthority['sign'] {
  const hash = algorithm === 'ES384' ? 'sha384' : 'sha256';
  const options = algorithm === 'PS256' ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : key;
  return async (bytes) => new Uint8Array(sign(hash, bytes, options));
}
