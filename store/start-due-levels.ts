/**
 * Which levels of PDFs are rendered when. A tenant that wants its PDFs at once may have a hundred thousand due, and so may a year of
 * renewals: they are started in portions, as those before are stored, so that nobody else's motion waits behind them.
 */
import { workflowIds } from '../domain/ids.ts';
import type { OpenLevel } from './certificate-pdfs.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction } from './pool.ts';

/** So many are under way that somebody asked for, and as many that are due by themselves. */
export const RENDERED_AT_ONCE = 32;
/** One that is not stored after so long no longer keeps others from it. */
const STUCK_S = 600;

const WHO = { asked: 'asked_at IS NOT NULL', unasked: 'asked_at IS NULL' } as const;

const startSql = (who: string): string => `
  UPDATE certificate_pdfs p SET started_at = $1 FROM (
    SELECT proof_id, level FROM certificate_pdfs WHERE sha256 IS NULL AND started_at IS NULL AND due_at <= $1 AND ${who}
    ORDER BY due_at LIMIT greatest(0, $2 - (
      SELECT count(*) FROM certificate_pdfs WHERE sha256 IS NULL AND started_at > $1::timestamptz - interval '${STUCK_S} s' AND ${who}))
    FOR UPDATE SKIP LOCKED) due
  WHERE p.proof_id = due.proof_id AND p.level = due.level RETURNING p.proof_id AS "proofId", p.level`;

/**
 * Owes the starts of the next levels that are due, until `places` of each kind are under way; true while some are due. Key
 * (proof, level). A start that is lost is found again by the reconciler.
 */
export function startDueLevels(db: Db, now: string, places = RENDERED_AT_ONCE): Promise<boolean> {
  return inTransaction(db, async (tx) => {
    const started: OpenLevel[] = [];
    for (const who of Object.values(WHO))
      started.push(...(await tx.query<OpenLevel>(startSql(who), [now, places])).rows);
    await enqueueMotion(
      tx,
      started.map(({ proofId, level }) => ({
        kind: 'start',
        workflowId: workflowIds.renderCertificate(proofId, level),
        name: 'renderCertificate',
        payload: { proofId, level },
      })),
      now,
    );
    const { rowCount } = await tx.query(
      'SELECT FROM certificate_pdfs WHERE sha256 IS NULL AND started_at IS NULL AND due_at <= $1 LIMIT 1',
      [now],
    );
    return rowCount === 1;
  });
}
