/** What a PDF needs to be signed in a test: keys of each algorithm, an authority, revocation lists; nothing on disk, no socket. */
import { constants, createPrivateKey, randomBytes, sign } from 'node:crypto';
import type { CertificateView } from '../../activities/rendering/certificate-view.ts';
import type { PdfSignatureAlg } from '../../activities/rendering/cms.ts';
import type { FetchRevocation } from '../../activities/rendering/collect-validation.ts';
import type { PdfAuthority, PdfKey, SignPdfOptions } from '../../activities/rendering/sign-pdf.ts';
import { canonicalBytes } from '../../domain/canonical-json.ts';
import { CERTIFICATE_TYPE, type CertificatePayload } from '../../domain/certificate.ts';
import { toMicros } from '../../domain/clock.ts';
import type { ProofId, TenantId } from '../../domain/ids.ts';
import { createVerificationCache } from '../../domain/timestamp/cache.ts';
import { readCertificate } from '../../domain/timestamp/certificate.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { readTimestampResponse, readTimestampToken, readTstInfo } from '../../domain/timestamp/token.ts';
import { answerQuery, type TsaAuthority } from '../../local/tsa/answer-query.ts';
import { makeCa, makeCrl, makeLeaf, type TestCa } from '../../local/tsa/authority-certificates.ts';
import { nodeSigner } from '../../local/tsa/sign-in-process.ts';
import { makeTestAuthority, type TestAuthority } from '../../local/tsa/test-authority.ts';

const KEYS: Readonly<Record<PdfSignatureAlg, EcKeyGenParams | RsaHashedKeyGenParams>> = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
  // The certificate says rsaEncryption, as those of customers' modules do; the signature alone is PSS.
  PS256: { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
};

export interface PdfFixture {
  readonly root: TestCa;
  readonly key: PdfKey;
  readonly tsa: TestAuthority;
  readonly authority: PdfAuthority;
  /** Roots of signer and authority, DER. */
  readonly roots: readonly Uint8Array[];
  readonly fetchRevocation: FetchRevocation;
  /** For `signPdf`, up to B-LTA. */
  readonly options: SignPdfOptions;
}

/** `now`: the clock of the authority and of the lists, milliseconds since the epoch. */
export async function makePdfFixture(
  alg: PdfSignatureAlg = 'ES256',
  now: () => number = () => Date.now(),
): Promise<PdfFixture> {
  const root = await makeCa('Proofline test signing root');
  const keys = (await crypto.subtle.generateKey(KEYS[alg], true, ['sign', 'verify'])) as CryptoKeyPair;
  const leaf = await makeLeaf(root, keys.publicKey, { purposes: [] });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const options =
    alg === 'PS256' ? { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : privateKey;
  const key: PdfKey = {
    alg,
    chain: [leaf, root.der],
    sign: async (attributes) => new Uint8Array(sign('sha256', attributes, options)),
  };
  const tsa = await makeTestAuthority();
  const authority = inProcess({
    ...tsa.authority,
    clock: { nowMs: now, nowMicros: () => toMicros(BigInt(now()) * 1000n) },
  });
  const cas = [root, tsa.root, tsa.issuer];
  const fetchRevocation: FetchRevocation = async (certificate) => {
    const { issuer } = readCertificate(certificate, createVerificationCache(1));
    const ca = cas.find((c) => Buffer.from(readCertificate(c.der, createVerificationCache(1)).subject).equals(issuer));
    if (ca === undefined) throw new Error('a certificate of none of ours');
    return makeCrl(ca, [], { thisUpdate: new Date(now()), nextUpdate: new Date(now() + 86_400_000) });
  };
  const roots = [root.der, tsa.root.der];
  return {
    root,
    key,
    tsa,
    authority,
    roots,
    fetchRevocation,
    options: {
      level: 'B-LTA',
      key,
      authority,
      name: 'Proofline test',
      at: '2026-11-23T04:23:12.000000Z',
      revocation: { fetchRevocation, roots, nowMicros: () => BigInt(now()) * 1000n },
    },
  };
}

/** An authority that answers without a socket. Its tokens are not verified here: the pool does that. */
export function inProcess(tsa: TsaAuthority): PdfAuthority {
  return {
    async stamp(imprint) {
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

export { nodeSigner };

const PROOF = '9b2f6a5e-3c4d-4e5f-8a9b-0c1d2e3f4a5b' as ProofId;
const BASE = 'https://proofs.example.org/v1';

export function examplePayload(change: Partial<CertificatePayload> = {}): CertificatePayload {
  return {
    type: CERTIFICATE_TYPE,
    number: 'PL-2026-000042',
    tenant: '01931f4e-0000-7000-8000-000000000001' as TenantId,
    proof: PROOF,
    digest: { alg: 'sha-256', value: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' },
    leaf: '4f1c7c0d3f0c6a3b9a8f6e8d2c1b0a998877665544332211ffeeddccbbaa9988',
    log: { origin: 'proofs.example.org/log', index: '41', size: '57', root: Buffer.alloc(32, 7).toString('base64url') },
    timestamp: { tsa: 'local', tokenSha256: 'b7'.repeat(32), time: '2026-11-23T04:23:10.120000Z' },
    anchorPolicy: 'REQUIRED',
    anchor: {
      entrySha256: 'c3'.repeat(32),
      ledger: 'hedera-hcs/v1',
      network: 'local',
      topicId: '0.0.1001',
      sequenceNumber: '12',
      consensusTimestamp: '1795407791.123456789',
    },
    licence: { grant: 'grant-1', period: '1' },
    issuedAt: '2026-11-23T04:23:12.000000Z',
    links: {
      proof: `${BASE}/proofs/${PROOF}`,
      bundle: `${BASE}/proofs/${PROOF}/bundle`,
      verify: `${BASE}/verify/${PROOF}`,
    },
    ...change,
  };
}

export function exampleView(change: Partial<CertificateView> = {}): CertificateView {
  const payload = change.payload ?? examplePayload();
  return {
    language: 'en',
    payload,
    payloadBytes: canonicalBytes(payload),
    holder: 'Étude Lefèvre & Associés',
    brand: { name: 'Étude Lefèvre & Associés', colour: '#1f3a5f' },
    isTimestampSelfOperated: true,
    isDevelopmentKey: true,
    ...change,
  };
}
