import { CERTIFICATE_TYP } from '../../domain/certificate.ts';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { BatchId, ProofId, TenantId } from '../../domain/ids.ts';
import { jwsSigningInput } from '../../domain/jws.ts';
import { armBatch, closeIfDone, findBatch } from '../../store/batches.ts';
import { type Draft, hasUnserved, queueForLicence, readDrafts, storeCertificates } from '../../store/certificates.ts';
import { drainTogether } from '../../store/drain-together.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { markLooked } from '../../store/wake-batches.ts';
import { activeVersion } from '../sealing/active-version.ts';
import { type GivingLane, type GivingLanes, OPEN_LANE, OPEN_LANES } from '../sealing/giving-lane.ts';
import type { Signer } from '../sealing/signer-client.ts';

/** Key id of the certificate key at the signer. */
export const CERTIFICATE_KID = 'certificate';

export interface CertificateDeps {
  readonly db: Db;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly origin: string;
  /** Base of the links in certificates. */
  readonly publicUrl: string;
  readonly heartbeat: (detail: unknown) => void;
  /** In which batches take their chunks; absent, they give nobody way. */
  readonly lanes?: GivingLanes;
}

export interface CertifyProofsInput {
  readonly batchId: string;
}

export interface CertifyProofsResult {
  readonly closed: boolean;
  readonly awaitingEvidence: number;
  readonly awaitingLicence: number;
  /** More evidence is complete already: nobody will wake the batch for it. */
  readonly complete: boolean;
}

interface Signed {
  readonly version: number;
  readonly certificates: readonly { readonly proofId: ProofId; readonly signature: Uint8Array }[];
}

export type CertificateActivities = ReturnType<typeof createCertification>;

export function createCertification(deps: CertificateDeps) {
  const { db, signer, clock, lanes = OPEN_LANES } = deps;

  return {
    /**
     * Certifies what can be: queues members whose evidence is complete, drains the licences of their tenants round by
     * round for as long as members of this batch are to be served, signs after each round the batch's drafts and gives
     * their proofs the final state. Key (proof): one licence unit, one draft, one
     * certificate. Throws SIGNER_*, STORE_UNAVAILABLE.
     */
    async certifyProofs({ batchId }: CertifyProofsInput): Promise<CertifyProofsResult> {
      const batch = batchId as BatchId;
      try {
        return await certify(batch);
      } catch (error) {
        // Others may look meanwhile, unless they would find the same. If Postgres is not there for this either, nobody is woken.
        if (!(error instanceof ProoflineError && error.code === 'SIGNER_UNAVAILABLE'))
          await markLooked(db, batch).catch(() => undefined);
        throw error;
      }
    },
  };

  async function certify(batch: BatchId): Promise<CertifyProofsResult> {
    const lane = lanes[(await findBatch(db, batch)).lane];
    let tenants = await queueForLicence(db, batch, clock.nowMicros(), lane.step);
    do {
      tenants = await serveRound(batch, tenants, lane);
      await signDrafts(batch, lane);
    } while (tenants.length > 0);
    return inTransaction(db, async (tx) => {
      const arm = await armBatch(tx, batch, deps.origin, clock.nowMicros());
      const left = await closeIfDone(tx, batch, clock.nowMicros());
      return {
        closed: left.awaitingEvidence + left.awaitingLicence + left.unsigned === 0,
        awaitingEvidence: left.awaitingEvidence,
        awaitingLicence: left.awaitingLicence,
        // Drafts that another batch's drain made since the last read are signed by the next round.
        complete: left.unsigned > 0 || (arm.complete && left.awaitingEvidence > 0),
      };
    });
  }

  /**
   * One drain of each tenant, a short one where others wait: several tenants for each other, or lanes before ours. Returns those that have members of
   * this batch left to serve: what else is in their queues is for the batches whose it is, each of which calls as we do,
   * and for the import, renewal or move that gives room to those who were told to wait.
   */
  async function serveRound(
    batch: BatchId,
    tenants: readonly TenantId[],
    lane: GivingLane,
  ): Promise<readonly TenantId[]> {
    const left: TenantId[] = [];
    for (const tenant of tenants) {
      const { more, unready } = await lane.step(() =>
        drainTogether(db, tenant, {
          clock,
          origin: deps.origin,
          publicUrl: deps.publicUrl,
          batchId: batch,
          ...((tenants.length > 1 || lane !== OPEN_LANE) && { transactions: 1 }),
          onStep: () => deps.heartbeat({ tenant, draining: true }),
        }),
      );
      if (more && (await hasUnserved(db, batch, tenant, unready))) left.push(tenant);
    }
    return left;
  }

  /** The signer signs the next chunk while the last is being stored. */
  async function signDrafts(batch: BatchId, lane: GivingLane): Promise<void> {
    let version: number | undefined;
    let storing: Promise<void> = Promise.resolve();
    let after: ProofId | undefined;
    try {
      for (;;) {
        const drafts = await readDrafts(db, batch, after);
        if (drafts.length === 0) {
          await storing;
          if (after === undefined) return;
          // Another batch's drain may have drafted behind us.
          after = undefined;
          continue;
        }
        version ??= await activeVersion(signer, CERTIFICATE_KID);
        const [signedBy, stored] = [version, storing];
        const signed = await lane.step(async () => {
          const certificates = await sign(batch, signedBy, drafts);
          await stored;
          return certificates;
        });
        // After a crash here the drafts are signed again; the first signature stored stays.
        storing = store(batch, signed);
        // It is awaited in the next turn; a turn that fails before must not leave it unheard.
        storing.catch(() => undefined);
        after = drafts.at(-1)?.proofId;
      }
    } finally {
      // Nothing of an attempt goes on beside the next.
      await storing.catch(() => undefined);
    }
  }

  async function sign(batch: BatchId, version: number, drafts: readonly Draft[]): Promise<Signed> {
    const start = jwsSigningInput(CERTIFICATE_TYP, 'ES256', CERTIFICATE_KID, version, new Uint8Array(0));
    const inputs = drafts.map((d) => `${start}${Buffer.from(d.payload, 'utf8').toString('base64url')}`);
    const { signatures } = await signer.sign({
      kid: CERTIFICATE_KID,
      version,
      alg: 'ES256',
      kind: 'tbs',
      // A signing input is ASCII; pooled, since a typed array each would be another allocation outside the heap.
      values: inputs.map((input) => Buffer.from(input, 'latin1')),
      context: { batch, step: 'certificate' },
    });
    const certificates = drafts.map((d, i) => ({ proofId: d.proofId, signature: signatures[i] as Uint8Array }));
    return { version, certificates };
  }

  async function store(batch: BatchId, signed: Signed): Promise<void> {
    await storeCertificates(db, { batch, kid: CERTIFICATE_KID, ...signed, now: clock.nowMicros() });
    deps.heartbeat({ signed: signed.certificates.length });
  }
}
