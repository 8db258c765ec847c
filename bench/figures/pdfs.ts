import { randomBytes, randomUUID } from 'node:crypto';
import type { CertificateView } from '../../activities/rendering/certificate-view.ts';
import type { PdfSignatureAlg } from '../../activities/rendering/cms.ts';
import { loadFonts } from '../../activities/rendering/fonts.ts';
import { renderCertificate } from '../../activities/rendering/render-certificate.ts';
import { PDF_LEVELS, type SignPdfOptions, signPdf } from '../../activities/rendering/sign-pdf.ts';
import { canonicalBytes } from '../../domain/canonical-json.ts';
import { CERTIFICATE_TYPE, type CertificatePayload } from '../../domain/certificate.ts';
import type { ProofId, TenantId } from '../../domain/ids.ts';
import type { TsaAuthority } from '../../local/tsa/answer-query.ts';
import { makeCa, type TestCa } from '../../local/tsa/authority-certificates.ts';
import { makeAuthority } from '../../local/tsa/make-authority.ts';
import { inProcess, listOf, makeDocumentKey } from '../../local/tsa/sign-documents.ts';
import type { BenchContext, Section } from '../figure.ts';
import { show } from '../statistics.ts';

const NAMES: Readonly<Record<PdfSignatureAlg, string>> = {
  ES256: 'ECDSA P-256',
  RS256: 'RSA-2048',
  PS256: 'RSA-2048 PSS',
};
/** Certificates a second that one core draws, signs and timestamps, and bytes of each level by algorithm. */
export async function measurePdfs({ quick }: BenchContext): Promise<Section> {
  const fonts = loadFonts();
  const root = await makeCa('Bench timestamp root');
  const tsa = { root, ...(await makeAuthority(root)) };
  const count = quick ? 60 : 300;
  const table = [['key', 'B-T per s and core', 'ms of CPU each', ...PDF_LEVELS.map((level) => `bytes at ${level}`)]];
  for (const alg of ['ES256', 'RS256', 'PS256'] as const) {
    const options = await optionsFor(alg, tsa);
    const make = async (level: (typeof PDF_LEVELS)[number]) =>
      signPdf(await renderCertificate(newView(), fonts), { ...options, level });
    for (let i = 0; i < 20; i++) await make('B-T');
    const before = process.cpuUsage();
    for (let i = 0; i < count; i++) await make('B-T');
    const { user, system } = process.cpuUsage(before);
    const msEach = (user + system) / 1_000 / count;
    const files = await make('B-LTA');
    table.push([
      NAMES[alg],
      show(1_000 / msEach),
      show(msEach),
      ...PDF_LEVELS.map((level) => String(files[level]?.length)),
    ]);
  }
  return {
    title: 'Certificates as PDF',
    method: `${count} different certificates per key, each rendered (PDF/A-3b, four embedded faces, QR code, attachment), signed and timestamped in one process; the keys and the authority are in that process, and their work counts. CPU time of all threads, so that other load on the machine does not.`,
    table,
    notes: [
      'Aims ≥ 40 a second and core, ≤ 60 KB (61,440 bytes) at B-LT. Room for a token: 6 KiB (12 KB of hexadecimal digits), the default.',
      'B-LTA has a second timestamp with its own room above the revocation data; each renewal adds as much again.',
    ],
  };
}

/** A certificate like no other: words that are new each time are not in any cache. */
function newView(): CertificateView {
  const proof = randomUUID() as string as ProofId;
  const base = 'https://proofs.example.org/v1';
  const payload: CertificatePayload = {
    type: CERTIFICATE_TYPE,
    number: `PL-2026-${randomBytes(4).toString('hex')}`,
    tenant: randomUUID() as string as TenantId,
    proof,
    digest: { alg: 'sha-256', value: randomBytes(32).toString('hex') },
    leaf: randomBytes(32).toString('hex'),
    log: {
      origin: 'proofs.example.org/log',
      index: '123456',
      size: '234567',
      root: randomBytes(32).toString('base64url'),
    },
    timestamp: {
      tsa: 'Example TSA',
      tokenSha256: randomBytes(32).toString('hex'),
      time: '2026-11-23T04:23:10.123456Z',
    },
    anchorPolicy: 'REQUIRED',
    anchor: {
      entrySha256: randomBytes(32).toString('hex'),
      ledger: 'hedera-hcs/v1',
      network: 'testnet',
      topicId: '0.0.4829117',
      sequenceNumber: '123456',
      consensusTimestamp: '1795407791.123456789',
    },
    licence: { grant: 'grant-1', period: '1' },
    issuedAt: '2026-11-23T04:23:12.000000Z',
    links: {
      proof: `${base}/proofs/${proof}`,
      bundle: `${base}/proofs/${proof}/bundle`,
      verify: `${base}/verify/${proof}`,
    },
  };
  return {
    language: 'en',
    payload,
    payloadBytes: canonicalBytes(payload),
    holder: 'Étude Lefèvre & Associés',
    brand: { name: 'Étude Lefèvre & Associés', colour: '#1f3a5f' },
    isTimestampSelfOperated: true,
    isDevelopmentKey: true,
  };
}

async function optionsFor(
  alg: PdfSignatureAlg,
  tsa: { root: TestCa; authority: TsaAuthority },
): Promise<SignPdfOptions> {
  const root = await makeCa('Bench signing root');
  const key = await makeDocumentKey(root, alg);
  const cas = [root, tsa.root];
  return {
    level: 'B-LTA',
    key,
    authority: inProcess(tsa.authority),
    name: 'Proofline',
    at: '2026-11-23T04:23:12.000000Z',
    revocation: {
      fetchRevocation: (certificate) => listOf(cas, certificate, Date.now()),
      roots: [root.der, tsa.root.der],
      nowMicros: () => BigInt(Date.now()) * 1_000n,
    },
  };
}
