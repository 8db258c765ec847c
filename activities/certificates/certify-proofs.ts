import { CERTIFICATE_TYP } from '../../domain/certificate.ts';
import type { Clock } from '../../domain/clock.ts';
import type { BatchId, ProofId } from '../../domain/ids.ts';
import { formatJws, jwsSigningInput } from '../../domain/jws.ts';
import { armBatch, closeIfDone } from '../../store/batches.ts';
import { type Draft, queueForLicence, readDrafts, storeCertificates } from '../../store/certificates.ts';
import { drainTogether } from '../../store/drain-together.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { activeVersion } from '../sealing/active-version.ts';
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
  readonly proofId: ProofId;
  readonly jws: string;
}

export type CertificateActivities = ReturnType<typeof createCertification>;

export function createCertification(deps: CertificateDeps) {
  const { db, signer, clock } = deps;

  return {
    /**
     * Certifies what can be: queues members whose evidence is complete, drains the licences of their tenants, signs
     * the batch's drafts and gives their proofs the final state. Key (proof): one licence unit, one draft, one
     * certificate. Throws SIGNER_*, STORE_UNAVAILABLE.
     */
    async certifyProofs({ batchId }: CertifyProofsInput): Promise<CertifyProofsResult> {
      const batch = batchId as BatchId;
      for (const tenant of await queueForLicence(db, batch, clock.nowMicros())) {
        const options = {
          clock,
          origin: deps.origin,
          publicUrl: deps.publicUrl,
          batchId: batch,
          onStep: () => deps.heartbeat({ tenant, draining: true }),
        };
        while ((await drainTogether(db, tenant, options)).more);
      }
      await signDrafts(batch);
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
    },
  };

  /** The signer signs the next chunk while the last is being stored. */
  async function signDrafts(batch: BatchId): Promise<void> {
    const version = await activeVersion(signer, CERTIFICATE_KID);
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
        const signed = await sign(batch, version, drafts);
        await storing;
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

  async function sign(batch: BatchId, version: number, drafts: readonly Draft[]): Promise<readonly Signed[]> {
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
    return drafts.map((d, i) => ({
      proofId: d.proofId,
      jws: formatJws(inputs[i] as string, signatures[i] as Uint8Array),
    }));
  }

  async function store(batch: BatchId, certificates: readonly Signed[]): Promise<void> {
    await storeCertificates(db, { batch, certificates, now: clock.nowMicros() });
    deps.heartbeat({ signed: certificates.length });
  }
}
