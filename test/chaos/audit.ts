/**
 * Judges a system after the storm, by SQL as its owner and by HTTP as a stranger. Each check returns the faults that
 * it found; the figures say over how much it looked.
 */
import type { Db } from '../../store/pool.ts';
import { verifyBundle } from '../../verifier/verify.ts';
import { auditAnchors } from './audit-anchors.ts';
import { auditLicences } from './audit-licences.ts';
import { auditLog } from './audit-log.ts';
import { auditMotion } from './audit-motion.ts';
import { auditTimelines } from './audit-timelines.ts';
import { type Audit, type AuditInput, faultsOf } from './finding.ts';

/** Bundles verified one by one over HTTP. */
const SAMPLE = 60;

export async function audit(input: AuditInput): Promise<Audit> {
  const audits = [
    await auditSubmissions(input),
    await auditCertificates(input.owner),
    await auditLicences(input.owner),
    await auditMotion(input.stack),
    await auditTimelines(input.owner),
    await auditLog(input),
    await auditAnchors(input),
    await auditBundles(input),
  ];
  return {
    faults: audits.flatMap((one) => one.faults),
    figures: Object.assign({}, ...audits.map((one) => one.figures)),
  };
}

/** What was acknowledged is there once, whole, and nothing else is. */
async function auditSubmissions({ stack, owner, acknowledged }: AuditInput): Promise<Audit> {
  const faults: string[] = [];
  const { rows } = await owner.query<{ id: string; key: string; tenant: string; policy: string; digests: string[] }>(
    `SELECT s.id, s.idempotency_key AS key, s.tenant_id AS tenant, s.anchor_policy AS policy,
       (SELECT array_agg(encode(p.digest, 'hex') ORDER BY p.ordinal) FROM proofs p WHERE p.submission_id = s.id) AS digests
     FROM submissions s WHERE s.idempotency_key LIKE 'chaos-%'`,
  );
  const stored = new Map(rows.map((row) => [row.id, row]));
  let proofs = 0;
  for (const ack of acknowledged) {
    const row = stored.get(ack.id);
    stored.delete(ack.id);
    proofs += ack.digests.length;
    if (row === undefined) faults.push(`the acknowledged submission ${ack.id} is lost`);
    else if (row.key !== ack.idempotencyKey || row.tenant !== ack.tenant.id || row.policy !== ack.policy)
      faults.push(`submission ${ack.id} is not what was acknowledged`);
    else if (row.digests.join() !== ack.digests.join()) faults.push(`submission ${ack.id} holds other digests`);
  }
  for (const id of stored.keys()) faults.push(`submission ${id} exists and was never acknowledged`);

  for (const ack of acknowledged) {
    const response = await fetch(`${stack.info.apiUrl}/v1/submissions/${ack.id}`, {
      headers: { authorization: `Bearer ${ack.tenant.apiKey}` },
    });
    const view = (await response.json()) as { final?: boolean; states?: Record<string, number> };
    const certified = (view.states?.CERTIFIED ?? 0) + (view.states?.CERTIFIED_NO_ANCHOR ?? 0);
    if (view.final !== true || certified !== ack.digests.length)
      faults.push(`the API shows submission ${ack.id} as ${response.status} ${JSON.stringify(view.states)}`);
    if (ack.policy === 'REQUIRED' && view.states?.CERTIFIED_NO_ANCHOR !== undefined)
      faults.push(`submission ${ack.id} REQUIRED an anchor and was certified without`);
  }
  return { faults, figures: { submissions: acknowledged.length, proofs } };
}

async function auditCertificates(owner: Db): Promise<Audit> {
  const faults = [
    ...(await faultsOf(
      owner,
      'a proof without its end, seal, leaf, certificate or unit, or with two',
      `SELECT p.id, p.state, (SELECT count(*) FROM seals s WHERE s.proof_id = p.id AND s.signature IS NOT NULL) AS seals,
         (SELECT count(*) FROM leaves l WHERE l.proof_id = p.id) AS leaves,
         (SELECT count(*) FROM certificates c WHERE c.proof_id = p.id AND c.signature IS NOT NULL AND c.final_state = p.state) AS certificates,
         (SELECT count(*) FROM licence_consumptions k WHERE k.proof_id = p.id) AS units
       FROM proofs p WHERE p.state NOT IN ('CERTIFIED', 'CERTIFIED_NO_ANCHOR')
         OR (SELECT count(*) FROM seals s WHERE s.proof_id = p.id AND s.signature IS NOT NULL) <> 1 OR (SELECT count(*) FROM leaves l WHERE l.proof_id = p.id) <> 1
         OR (SELECT count(*) FROM certificates c WHERE c.proof_id = p.id AND c.signature IS NOT NULL AND c.final_state = p.state) <> 1
         OR (SELECT count(*) FROM licence_consumptions k WHERE k.proof_id = p.id) <> 1`,
    )),
    ...(await faultsOf(
      owner,
      'evidence or units of no proof',
      `SELECT x.kind, x.proof_id FROM (SELECT 'seal' AS kind, proof_id FROM seals UNION ALL SELECT 'leaf', proof_id FROM leaves UNION ALL SELECT 'certificate', proof_id FROM certificates
         UNION ALL SELECT 'unit', proof_id FROM licence_consumptions) x WHERE NOT EXISTS (SELECT FROM proofs p WHERE p.id = x.proof_id)`,
    )),
    ...(await faultsOf(
      owner,
      'something is left over',
      `SELECT * FROM (SELECT (SELECT count(*) FROM submission_queue) AS submissions, (SELECT count(*) FROM leaf_queue) AS leaves, (SELECT count(*) FROM licence_queue) AS licences,
         (SELECT count(*) FROM outbox) AS motion, (SELECT count(*) FROM batch_wakes) AS wakes, (SELECT count(*) FROM batches WHERE state <> 'CLOSED' OR leaves_pending <> 0) AS batches) q
       WHERE submissions + leaves + licences + motion + wakes + batches > 0`,
    )),
  ];
  const { rows } = await owner.query<{ batches: number; generations: number }>(
    'SELECT count(*)::int AS batches, coalesce(sum(generation - 1), 0)::int AS generations FROM batches',
  );
  return { faults, figures: { batches: rows[0]?.batches ?? 0, 'runs of batches rebuilt': rows[0]?.generations ?? 0 } };
}

/** A sample as its owner downloads it, verified as a stranger would. */
async function auditBundles({ stack, owner, acknowledged, random }: AuditInput): Promise<Audit> {
  const faults: string[] = [];
  const trust = await (await fetch(`${stack.info.apiUrl}/.well-known/proofline.json`)).json();
  const count = Math.min(SAMPLE, acknowledged.length);
  for (let i = 0; i < count; i++) {
    const ack = random.pick(acknowledged);
    const ordinal = random.between(0, ack.digests.length - 1);
    const { rows } = await owner.query<{ id: string }>(
      'SELECT id FROM proofs WHERE submission_id = $1 AND ordinal = $2',
      [ack.id, ordinal],
    );
    const response = await fetch(`${stack.info.apiUrl}/v1/proofs/${rows[0]?.id}/bundle`, {
      headers: { authorization: `Bearer ${ack.tenant.apiKey}` },
    });
    const digest = { alg: 'sha-256', value: ack.digests[ordinal] ?? '' } as const;
    const result = await verifyBundle(await response.text(), { trust, digest, nowMs: Date.now() });
    if (result.overall !== 'valid') faults.push(`the bundle of ${rows[0]?.id} is ${JSON.stringify(result)}`);
  }
  return { faults, figures: { 'bundles verified': count } };
}
