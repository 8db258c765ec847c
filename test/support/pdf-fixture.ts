/** What a PDF needs to be signed in a test: keys of each algorithm, an authority, revocation lists; nothing on disk, no socket. */
import type { CertificateView } from '../../activities/rendering/certificate-view.ts';
import type { PdfSignatureAlg } from '../../activities/rendering/cms.ts';
import type { FetchRevocation } from '../../activities/rendering/collect-validation.ts';
import type { PdfAuthority, PdfKey, SignPdfOptions } from '../../activities/rendering/sign-pdf.ts';
import { canonicalBytes } from '../../domain/canonical-json.ts';
import { CERTIFICATE_TYPE, type CertificatePayload } from '../../domain/certificate.ts';
import { toMicros } from '../../domain/clock.ts';
import type { ProofId, TenantId } from '../../domain/ids.ts';
import { makeCa, type TestCa } from '../../local/tsa/authority-certificates.ts';
import { inProcess, listOf, makeDocumentKey } from '../../local/tsa/sign-documents.ts';
import { makeTestAuthority, type TestAuthority } from '../../local/tsa/test-authority.ts';

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
  const key: PdfKey = await makeDocumentKey(root, alg);
  const tsa = await makeTestAuthority();
  const authority = inProcess({
    ...tsa.authority,
    clock: { nowMs: now, nowMicros: () => toMicros(BigInt(now()) * 1000n) },
  });
  const cas = [root, tsa.root, tsa.issuer];
  const fetchRevocation: FetchRevocation = async (certificate) => listOf(cas, certificate, now());
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
