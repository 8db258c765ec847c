import type { ProofId } from '../../domain/ids.ts';
import type { CertificateLevel } from '../../domain/pdf-level.ts';
import { readWork, storeLevelToken } from '../../store/pdf-work.ts';
import type { Db } from '../../store/pool.ts';
import type { TsaPool } from '../timestamping/tsa-pool.ts';
import type { PdfStepInput } from './render-activities.ts';

export type PdfStampActivities = ReturnType<typeof createPdfStamping>;

export function createPdfStamping({ db, pool }: { readonly db: Db; readonly pool: Pick<TsaPool, 'stamp'> }) {
  return {
    /**
     * Gets the level's token over what was prepared and keeps it before anything is embedded. Key (proof, level): the first
     * stored token wins, since no two calls give the same one. Throws TSA_*, STORE_UNAVAILABLE.
     */
    async stampPdf({ proofId, level }: PdfStepInput): Promise<void> {
      const proof = proofId as ProofId;
      const of = level as CertificateLevel;
      const work = await readWork(db, proof, of);
      if (work === undefined || work.token !== undefined) return;
      // A crash here loses a token that nobody saw; the next run asks for another.
      const { tsa, token, serial, genTime, endsAt } = await pool.stamp(new Uint8Array(work.imprint));
      await storeLevelToken(db, proof, of, { tsa, token, serial, genTime, endsAt });
    },
  };
}
