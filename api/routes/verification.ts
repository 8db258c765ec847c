/** Verification for anybody: verdicts without tenant, reference or metadata. */
import type { Request, Response } from 'express';
import type { Digest } from '../../domain/digest.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { ProofId } from '../../domain/ids.ts';
import type { ProofState } from '../../domain/states.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { readEvidence } from '../../store/bundles.read.ts';
import { findProofsOfDigest } from '../../store/public-proofs.read.ts';
import { readTrustDocument } from '../../store/trust.read.ts';
import { type VerificationResult, verifyBundle, verifyPdf } from '../../verifier/index.ts';
import { callerOf } from '../caller.ts';
import type { ApiDeps, Route } from '../route.ts';

export const verificationRoutes: readonly Route[] = [
  { method: 'post', path: '/v1/verify', access: 'public', isRateLimited: true, body: 'bundle', answer: verifyGiven },
  {
    method: 'post',
    path: '/v1/verify/pdf',
    access: 'public',
    isRateLimited: true,
    body: 'pdf',
    answer: verifyPdfGiven,
  },
  { method: 'get', path: '/v1/verify', access: 'optional', isRateLimited: true, answer: verifyDigest },
  { method: 'get', path: '/v1/verify/{id}', access: 'public', isRateLimited: true, answer: verifyStored },
];

interface PublicProof {
  readonly id: ProofId;
  readonly state: ProofState;
  readonly verification: VerificationResult | null;
}

async function verifyGiven(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { bundle, digest } = req.body as { bundle: unknown; digest?: Digest };
  const trust = await readTrustDocument(deps.db);
  res.json(
    await verifyBundle(bundle, { trust, nowMs: deps.clock.nowMs(), ...(digest === undefined ? {} : { digest }) }),
  );
}

async function verifyPdfGiven(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { pdf, bundle, digest } = req.body as { pdf: string; bundle?: unknown; digest?: Digest };
  const trust = await readTrustDocument(deps.db);
  const options = {
    trust,
    nowMs: deps.clock.nowMs(),
    ...(bundle === undefined ? {} : { bundle }),
    ...(digest === undefined ? {} : { digest }),
  };
  res.json(await verifyPdf(new Uint8Array(Buffer.from(pdf, 'base64')), options));
}

async function verifyStored(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const found = await verifyOne(deps, req.params.id as string as ProofId);
  if (found === undefined) throw new ProoflineError('NOT_FOUND');
  res.json(found);
}

async function verifyDigest(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { digest } = req.query as unknown as { digest: string };
  const caller = callerOf(res);
  const tenant = caller?.kind === 'tenant' && caller.scopes.includes('verify') ? caller.tenant : undefined;
  const ids = await findProofsOfDigest(deps.db, digest, tenant);
  if (ids.length === 0) throw new ProoflineError('NOT_FOUND');
  const data: PublicProof[] = [];
  let trust: TrustDocument | undefined;
  for (const id of ids) {
    trust ??= await trustIfPublished(deps);
    const found = await verifyOne(deps, id, trust);
    if (found !== undefined) data.push(found);
  }
  res.json({ data, next: null });
}

/** Verdicts on a proof as it stands; null before the seal, when there is nothing to judge. */
async function verifyOne(deps: ApiDeps, id: ProofId, known?: TrustDocument): Promise<PublicProof | undefined> {
  const evidence = await readEvidence(deps.db, deps.settings.origin, id, 'public');
  if (evidence === undefined) return undefined;
  const { state, bundle } = evidence;
  if (bundle === undefined) return { id, state, verification: null };
  const trust = known ?? (await readTrustDocument(deps.db));
  return { id, state, verification: await verifyBundle(bundle, { trust, nowMs: deps.clock.nowMs() }) };
}

async function trustIfPublished(deps: ApiDeps): Promise<TrustDocument | undefined> {
  try {
    return await readTrustDocument(deps.db);
  } catch (error) {
    if (error instanceof ProoflineError && error.code === 'NOT_READY') return undefined;
    throw error;
  }
}
