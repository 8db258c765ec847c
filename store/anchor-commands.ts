/**
 * What an operator decides about an anchor. The API asks (`requestAnchorCommand`: row, audit entry and signal in one
 * transaction); the workflow of the anchor applies it. A suspect anchor ends here and nowhere else.
 * Lock order: anchors, anchor_commands, anchor_attempts, log_progress, topic_cursors, alarms, the audit trail.
 */
import { type ErrorCode, ProoflineError } from '../domain/errors.ts';
import { endAlarms } from './alarms.ts';
import { type AnchorKey, alarmSubject, cover, lockAnchor, type VerifiedAnchor } from './anchors.ts';
import { appendAudit } from './audit.ts';
import { enqueueMotion } from './outbox.ts';
import { asStoreError, type Db, inTransaction, type Queryable, type Tx } from './pool.ts';

export type AnchorVerb = 'retry' | 'accept' | 'abandon';

/** What a decision about a suspect anchor rests on. */
export interface SuspectEvidence {
  /** What was found, and where it is kept. */
  readonly statement: string;
  /** Mirrors of the ledger file that are not believed about this anchor. */
  readonly distrustedMirrors: readonly string[];
}

export interface AnchorCommandRequest extends AnchorKey {
  /** A new id: UUID. */
  readonly id: string;
  readonly verb: AnchorVerb;
  /** As the audit trail names them. */
  readonly actor: string;
  readonly reason: string;
  /** Of accept and abandon. */
  readonly evidence?: SuspectEvidence;
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
}

/** Asks for a verb. As proofline_api. Throws NOT_FOUND, or TRANSITION_NOT_ALLOWED with the state that it does not fit. */
export async function requestAnchorCommand(db: Queryable, request: AnchorCommandRequest): Promise<void> {
  const { id, origin, size, verb, actor, reason, evidence, at } = request;
  const { rows } = await db
    .query<{ outcome: string }>('SELECT request_anchor_command($1, $2, $3::bigint, $4, $5, $6, $7, $8) AS outcome', [
      id,
      origin,
      size.toString(),
      verb,
      actor,
      reason,
      evidence === undefined ? null : JSON.stringify(evidence),
      at,
    ])
    .catch((error: unknown) => Promise.reject(asStoreError(error)));
  const outcome = rows[0]?.outcome;
  if (outcome === 'unknown') throw new ProoflineError('NOT_FOUND');
  if (outcome !== 'created')
    throw new ProoflineError('TRANSITION_NOT_ALLOWED', `${verb} of an anchor that is ${outcome}`);
}

export interface PendingAnchorCommand {
  readonly id: string;
  readonly verb: AnchorVerb;
  readonly actor: string;
  readonly evidence: SuspectEvidence | null;
}

/** The oldest that is not decided. As proofline_worker. */
export async function readPendingCommand(
  db: Queryable,
  { origin, size }: AnchorKey,
): Promise<PendingAnchorCommand | undefined> {
  const { rows } = await db.query<PendingAnchorCommand>(
    `SELECT id, verb, actor, evidence FROM anchor_commands WHERE origin = $1 AND size = $2::bigint AND state = 'PENDING' ORDER BY created_at, id LIMIT 1`,
    [origin, size.toString()],
  );
  return rows[0];
}

type Decision = AnchorKey & { readonly command: PendingAnchorCommand; readonly now: string };

/** Refuses a command and says why; the anchor stays as it is. Key (command). */
export function refuseAnchorCommand(
  db: Db,
  decision: Decision & { readonly code: ErrorCode; readonly detail: string },
): Promise<void> {
  const { code, detail } = decision;
  return inTransaction(db, async (tx) => {
    await lockAnchor(tx, decision);
    if (await finish(tx, decision, code, detail)) await audit(tx, decision, 'refused', detail);
  });
}

/** A rejected anchor may be tried again: its failure is forgotten. Key (command); without one, Temporal's update asked. */
export function allowRetry(
  db: Db,
  { origin, size, command, now }: AnchorKey & { readonly command?: PendingAnchorCommand; readonly now: string },
): Promise<void> {
  return inTransaction(db, async (tx) => {
    await lockAnchor(tx, { origin, size });
    if (command !== undefined && !(await finish(tx, { origin, size, command, now }))) return;
    const { rowCount } = await tx.query(
      `UPDATE anchors SET failure = NULL, updated_at = $3 WHERE origin = $1 AND size = $2::bigint AND state = 'REJECTED' AND failure IS NOT NULL`,
      [origin, size.toString(), now],
    );
    if (rowCount !== 1) return;
    await endAlarms(tx, alarmSubject({ origin, size }), now);
    await audit(tx, { origin, size, ...(command && { command }), now }, 'applied', 'tried again', 'retry');
  });
}

/** A suspect anchor stands after all: mirrors that are believed show it. Key (command). */
export function acceptSuspect(db: Db, decision: Decision & VerifiedAnchor): Promise<void> {
  return resolve(db, decision, 'VERIFIED', (tx) => cover(tx, decision));
}

/** A suspect anchor is given up: it covers nothing, and a later window anchors again. Key (command). */
export function abandonSuspect(db: Db, decision: Decision & { readonly attempt: number }): Promise<void> {
  return resolve(db, decision, 'FAILED', (tx) => endAlarms(tx, alarmSubject(decision), decision.now));
}

function resolve(
  db: Db,
  decision: Decision & { readonly attempt: number; readonly confirmation?: unknown },
  end: 'VERIFIED' | 'FAILED',
  more: (tx: Tx) => Promise<void>,
): Promise<void> {
  const { origin, size, attempt, confirmation, now } = decision;
  return inTransaction(db, async (tx) => {
    await lockAnchor(tx, decision);
    if (!(await finish(tx, decision))) return;
    const failure = end === 'FAILED' ? JSON.stringify({ status: 'ABANDONED' }) : null;
    const { rowCount } = await tx.query(
      `UPDATE anchor_attempts SET state = $4, failure = $5, confirmation = coalesce($6, confirmation), updated_at = $7
       WHERE origin = $1 AND size = $2::bigint AND attempt = $3 AND state = 'SUSPECT'`,
      [
        origin,
        size.toString(),
        attempt,
        end,
        failure,
        confirmation === undefined ? null : JSON.stringify(confirmation),
        now,
      ],
    );
    if (rowCount !== 1) throw new Error(`attempt ${attempt} of anchor ${size} is not suspect`);
    await tx.query(
      'UPDATE anchors SET state = $3, failure = $4, updated_at = $5 WHERE origin = $1 AND size = $2::bigint',
      [origin, size.toString(), end, failure, now],
    );
    await more(tx);
    await thaw(tx, decision, now);
    await audit(tx, decision, 'applied', end);
  });
}

/** The other anchors that waited for the decision look again at once. */
async function thaw(tx: Tx, { origin, size }: AnchorKey, now: string): Promise<void> {
  const { rows } = await tx.query<AnchorKey>(
    `SELECT origin, size FROM anchors WHERE origin = $1 AND size <> $2::bigint AND state NOT IN ('VERIFIED', 'FAILED') ORDER BY size LIMIT 100`,
    [origin, size.toString()],
  );
  await enqueueMotion(
    tx,
    rows.map((key) => ({ kind: 'signal', workflowId: alarmSubject(key), name: 'retryNow', payload: {} })),
    now,
  );
}

async function finish(tx: Tx, { command, now }: Decision, code?: ErrorCode, detail?: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    `UPDATE anchor_commands SET state = $2, code = $3, detail = $4, finished_at = $5 WHERE id = $1 AND state = 'PENDING'`,
    [command.id, code === undefined ? 'APPLIED' : 'REFUSED', code ?? null, detail?.slice(0, 1_000) ?? null, now],
  );
  return rowCount === 1;
}

function audit(
  tx: Tx,
  decision: AnchorKey & { readonly command?: PendingAnchorCommand; readonly now: string },
  outcome: 'applied' | 'refused',
  detail: string,
  verb = decision.command?.verb ?? 'retry',
): Promise<void> {
  const { command, now } = decision;
  return appendAudit(tx, {
    at: now,
    actor: command?.actor ?? 'temporal:retryAnchor',
    action: `anchor.${verb}.${outcome}`,
    subject: alarmSubject(decision),
    detail: { detail: detail.slice(0, 1_000), ...(command && { command: command.id }) },
  });
}
