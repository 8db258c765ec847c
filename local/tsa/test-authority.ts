/** An authority for tests, its keys made in this process and never written. */
import type { TsaAuthority } from './answer-query.ts';
import { makeAlternates, makeCa, type TestCa } from './authority-certificates.ts';
import type { TsaSignatureAlgorithm } from './build-token.ts';
import { makeAuthority } from './make-authority.ts';

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
  const { keys, authority } = await makeAuthority(issuer, algorithm);
  return { root, issuer, keys, authority: { ...authority, alternates: await makeAlternates(issuer, keys.publicKey) } };
}
