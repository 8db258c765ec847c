/** The evidence of a proof, to download. */
import type { Request, Response } from 'express';
import { BUNDLE_MEDIA_TYPE, type Bundle } from '../../domain/bundle.ts';
import { fromBase64Url, toHex, utf8 } from '../../domain/bytes.ts';
import { canonicalText } from '../../domain/canonical-json.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { EVIDENCE_RECORD_MEDIA_TYPE } from '../../domain/evidence-record/record.ts';
import type { ProofId } from '../../domain/ids.ts';
import type { CertificateLevel } from '../../domain/pdf-level.ts';
import { formatCheckpointRecord, formatReceipt, readEvidence, readStatementRecord } from '../../store/bundles.read.ts';
import { readPdf, requestPdf } from '../../store/certificate-pdfs.read.ts';
import { readDisclosure } from '../../store/proofs.read.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { scopeOf, tenantCaller } from '../caller.ts';
import { etagOf } from '../etag.ts';
import type { ApiDeps, Route } from '../route.ts';
import { sendEvidence, waitUntil } from './requests.ts';

const READERS = { scope: 'proofs:read', roles: ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR', 'AUDITOR'] } as const;

export const evidenceRoutes: readonly Route[] = [
  { method: 'get', path: '/v1/proofs/{id}/bundle', access: READERS, answer: sendBundle },
  { method: 'get', path: '/v1/proofs/{id}/receipt', access: READERS, answer: sendReceipt },
  { method: 'get', path: '/v1/proofs/{id}/evidence-record', access: READERS, answer: sendEvidenceRecord },
  { method: 'get', path: '/v1/proofs/{id}/certificate', access: READERS, answer: sendCertificate },
  { method: 'get', path: '/v1/proofs/{id}/certificate.pdf', access: READERS, answer: sendPdf },
  { method: 'get', path: '/v1/proofs/{id}/disclosure', access: { scope: 'proofs:read' }, answer: sendDisclosure },
];

async function sendBundle(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const text = canonicalText(await readBundle(req, res, deps));
  sendEvidence(req, res, BUNDLE_MEDIA_TYPE, etagOf(text), text);
}

async function sendReceipt(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const receipt = formatReceipt(await readBundle(req, res, deps));
  if (receipt === undefined) throw new ProoflineError('NOT_READY', 'the leaf is not under a published checkpoint yet');
  sendEvidence(req, res, 'text/plain; charset=utf-8', etagOf(receipt), receipt);
}

/** RFC 4998 registers no media type; the name of the file says what it is. */
async function sendEvidenceRecord(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const bundle = await readBundle(req, res, deps);
  const isOverStatement = req.query.over === 'statement';
  const record = isOverStatement ? await readStatementRecord(deps.db, bundle) : formatCheckpointRecord(bundle);
  if (record === undefined)
    throw new ProoflineError(
      'NOT_READY',
      isOverStatement
        ? 'there is no record over this statement: the tenant asks for none, or its token is still to come'
        : 'the proof is not timestamped yet',
    );
  const body = Buffer.from(record);
  res.set('Content-Disposition', `attachment; filename="${bundle.statement.proof}.ers"`);
  sendEvidence(req, res, EVIDENCE_RECORD_MEDIA_TYPE, etagOf(body), body);
}

async function sendCertificate(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { certificate: jws } = await readBundle(req, res, deps);
  if (jws === undefined) throw new ProoflineError('NOT_READY', 'the certificate is not issued yet');
  if (req.accepts(['application/json', 'application/jose']) === 'application/jose') {
    sendEvidence(req, res, 'application/jose', etagOf(jws), jws);
    return;
  }
  const payload = fromBase64Url(jws.split('.')[1] ?? '') ?? new Uint8Array(0);
  const text = canonicalText({ jws, payload: JSON.parse(utf8.decode(payload)) });
  sendEvidence(req, res, 'application/json', etagOf(text), text);
}

/** The file of the level asked for; the first ask has it rendered. */
async function sendPdf(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const id = req.params.id as string as ProofId;
  const { level, wait = 0 } = req.query as unknown as { level?: CertificateLevel; wait?: number };
  const tenant = await scopeOf(res, deps, id);
  const find = () => withTenant(deps.db, tenant, (tx) => readPdf(tx, id, level));
  let pdf = await find();
  if (pdf === undefined) {
    const wanted = level ?? 'B-T';
    const asked = await withTenant(deps.db, tenant, (tx) => requestPdf(tx, id, wanted, deps.clock.nowMicros()));
    if (asked === 'unknown') throw new ProoflineError('NOT_FOUND');
    if (asked === 'not-certified') throw new ProoflineError('NOT_READY', 'the certificate is not issued yet');
    const withinMs = Math.max(wait, preferredWait(req)) * 1_000;
    if (withinMs > 0) {
      await waitUntil(res, deps, { kind: 'pdf', id: `${id}/${wanted}`, tenant }, withinMs);
      pdf = await find();
    }
    if (pdf === undefined) {
      res.status(202).set('Retry-After', '2').json({ state: 'rendering', level: wanted });
      return;
    }
  }
  res.set('Content-Disposition', `attachment; filename="certificate-${id}.pdf"`);
  sendEvidence(req, res, 'application/pdf', `"${toHex(pdf.sha256)}"`, pdf.bytes);
}

/** Seconds of `Prefer: wait=N` (RFC 7240 §4.3), at most 30. */
function preferredWait(req: Request): number {
  const seconds = /(?:^|[,;]\s*)wait=(\d{1,4})(?:$|[,;\s])/.exec(req.get('prefer') ?? '')?.[1];
  return Math.min(Number(seconds ?? 0), 30);
}

/** The owner's alone: the salts would let others confirm a guess of what the evidence only commits to. */
async function sendDisclosure(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { tenant } = tenantCaller(res);
  const disclosure = await withTenant(deps.db, tenant, (tx) => readDisclosure(tx, req.params.id as string as ProofId));
  if (disclosure === undefined) throw new ProoflineError('NOT_FOUND');
  res.set('Cache-Control', 'private, no-store').json(disclosure);
}

async function readBundle(req: Request, res: Response, deps: ApiDeps): Promise<Bundle> {
  const id = req.params.id as string as ProofId;
  const tenant = await scopeOf(res, deps, id);
  const evidence = await withTenant(deps.db, tenant, (tx) => readEvidence(tx, deps.settings.origin, id, 'tenant'));
  if (evidence === undefined) throw new ProoflineError('NOT_FOUND');
  if (evidence.bundle === undefined)
    throw new ProoflineError('NOT_READY', `the proof is ${evidence.state}, not sealed`);
  return evidence.bundle;
}
