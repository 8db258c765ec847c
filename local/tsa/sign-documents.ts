/** What a document needs to be signed and stamped in one process: a key, an authority, lists; nothing on disk, no socket. */
import { createPrivateKey, randomBytes } from 'node:crypto';
import { equalBytes } from '../../domain/bytes.ts';
import { toMicros } from '../../domain/clock.ts';
import { createVerificationCache } from '../../domain/timestamp/cache.ts';
import { readCertificate } from '../../domain/timestamp/certificate.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { readTimestampResponse, readTimestampToken, readTstInfo } from '../../domain/timestamp/token.ts';
import { answerQuery, type TsaAuthority } from './answer-query.ts';
import { makeCrl, makeLeaf, type TestCa } from './authority-certificates.ts';
import { nodeSigner } from './sign-in-process.ts';

const DAY_MS = 86_400_000;
const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2_048,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: 'SHA-256',
};
const KEYS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: RSA,
  // The certificate says rsaEncryption, as those of customers' modules do; the signature alone is PSS.
  PS256: RSA,
} as const;

/** A new key whose certificate `root` issued. `sign` takes the signed attributes. */
export async function makeDocumentKey<Alg extends keyof typeof KEYS>(root: TestCa, alg: Alg) {
  const keys = (await crypto.subtle.generateKey(KEYS[alg], true, ['sign', 'verify'])) as CryptoKeyPair;
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const leaf = await makeLeaf(root, keys.publicKey, { purposes: [] });
  const sign = nodeSigner(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }), alg);
  return { alg, chain: [leaf, root.der], sign };
}

/** An authority that answers without a socket. Its tokens are not verified here: the pool does that. */
export function inProcess(tsa: TsaAuthority) {
  return {
    async stamp(imprint: Uint8Array) {
      const query = buildTimestampRequest({ imprint, nonce: new Uint8Array(randomBytes(8)) });
      const { token } = readTimestampResponse(
        await answerQuery(tsa, query, undefined, new Uint8Array(randomBytes(12))),
      );
      if (token === undefined) throw new Error('the authority refused');
      const { genTime } = readTstInfo(readTimestampToken(token).eContent ?? new Uint8Array(0));
      return { token, genTime: toMicros(genTime.epochMicros) };
    },
  };
}

/** The list of whichever of these issued the certificate, DER, empty, good for a day from `nowMs` on. */
export function listOf(cas: readonly TestCa[], certificate: Uint8Array, nowMs: number): Promise<Uint8Array> {
  const cache = createVerificationCache(8);
  const { issuer } = readCertificate(certificate, cache);
  const ca = cas.find(({ der }) => equalBytes(readCertificate(der, cache).subject, issuer));
  if (ca === undefined) throw new Error('a certificate of none of the authorities');
  return makeCrl(ca, [], { thisUpdate: new Date(nowMs), nextUpdate: new Date(nowMs + DAY_MS) });
}
