/**
 * What an operator decides about an anchor, on the topic or in the registry contract. The API asks
 * (`requestAnchorCommand`: row, audit entry and signal in one transaction); the workflow of the anchor applies it. A
 * suspect anchor ends here and nowhere else. Lock order: anchors or contract_anchors, anchor_commands, the attempts,
 * log_progress, topic_cursors, alarms, the audit trail.
 */
import { type ErrorCode, ProoflineError } from '../domain/errors.ts';
import { endAlarms } from './alarms.ts';
import { type AnchorKey, type AnchorMedium, alarmSubject, cover, type VerifiedAnchor } from './anchors.ts';
import { appendAudit } from './audit.ts';
import { contractAlarmSubject, coverByContract, type VerifiedContractAnchor } from './contract-anchors.ts';
import { enqueueMotion } from './outbox.ts';
import { asStoreError, type Db, inTransaction, type Queryable, type Tx } from './pool.ts';

export type AnchorVerb = 'retry' | 'accept' | 'abandon';

/** An anchor among those of its medium. */
export interface MediumKey extends AnchorKey {
  readonly medium: AnchorMedium;
}

/** Where each medium has its rows, and what alarms, audit entries and signals call an anchor. */
const ROWS = {
  hcs: { anchors: 'anchors', attempts: 'anchor_attempts', subjectOf: alarmSubject },
  contract: { anchors: 'contract_anchors', attempts: 'contract_attempts', subjectOf: contractAlarmSubject },
} as const satisfies Record<AnchorMedium, object>;

/** What a decision about a suspect anchor rests on. */
export interface SuspectEvidence {
  /** What was found, and where it is kept. */
  readonly statement: string;
  /** Mirrors of the ledger file that are not believed about this anchor. */
  readonly distrustedMirrors: readonly string[];
}

export interface AnchorCommandRequest extends MediumKey {
  /** A new id: UUID. */
  readonly id: string;
  readonly verb: AnchorVerb;
  /** As the audit trail names them. */
  readonly actor: string;
  readonly reason: string;
  /** Of accept and abandon. */
  readonly evidence?: SuspectEvidence;
  /** The client's. */
  readonly idempotencyKey?: string;
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
}

/**
 * Asks for a verb; the same actor with the same idempotency key asks once. As proofline_api. Returns the command that
 * stands. Throws NOT_FOUND, IDEMPOTENCY_KEY_REUSED, or TRANSITION_NOT_ALLOWED with the state that the verb does not fit.
 */
export async function requestAnchorCommand(
  db: Queryable,
  request: AnchorCommandRequest,
): Promise<{ readonly id: string; readonly isReplay: boolean }> {
  const { id, medium, origin, size, verb, actor, reason, evidence, idempotencyKey, at } = request;
  const { rows } = await db
    .query<{ outcome: string; command: string | null }>(
      'SELECT outcome, command FROM request_anchor_command($1, $2, $3, $4::bigint, $5, $6, $7, $8, $9, $10)',
      [
        id,
        medium,
        origin,
        size.toString(),
        verb,
        actor,
        reason,
        evidence === undefined ? null : JSON.stringify(evidence),
        idempotencyKey ?? null,
        at,
      ],
    )
    .catch((error: unknown) => Promise.reject(asStoreError(error)));
  const { outcome, command = null } = rows[0] ?? {};
  if (outcome === 'unknown') throw new ProoflineError('NOT_FOUND');
  if (outcome === 'mismatch') throw new ProoflineError('IDEMPOTENCY_KEY_REUSED');
  if (command === null) throw new ProoflineError('TRANSITION_NOT_ALLOWED', `${verb} of an anchor that is ${outcome}`);
  return { id: command, isReplay: outcome === 'replayed' };
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
  { medium, origin, size }: MediumKey,
): Promise<PendingAnchorCommand | undefined> {
  const { rows } = await db.query<PendingAnchorCommand>(
    `SELECT id, verb, actor, evidence FROM anchor_commands WHERE medium = $1 AND origin = $2 AND size = $3::bigint AND state = 'PENDING' ORDER BY created_at, id LIMIT 1`,
    [medium, origin, size.toString()],
  );
  return rows[0];
}

type Decision = MediumKey & { readonly command: PendingAnchorCommand; readonly now: string };

/** Refuses a command and says why; the anchor stays as it is. Key (command). */
export function refuseAnchorCommand(
  db: Db,
  decision: Decision & { readonly code: ErrorCode; readonly detail: string },
): Promise<void> {
  const { code, detail } = decision;
  return inTransaction(db, async (tx) => {
    await lock(tx, decision);
    if (await finish(tx, decision, code, detail)) await audit(tx, decision, 'refused', detail);
  });
}

/**
 * A rejected anchor may be tried again: its failure is forgotten, and every retry that was asked for by now is applied
 * with it. Key (anchor): where nobody asked, or nothing is held any more, it changes nothing. `isUpdate`: Temporal's
 * update asked too.
 */
export function allowRetry(
  db: Db,
  { medium, origin, size, isUpdate, now }: MediumKey & { readonly isUpdate: boolean; readonly now: string },
): Promise<void> {
  const key = { medium, origin, size };
  return inTransaction(db, async (tx) => {
    await lock(tx, key);
    const { rows: commands } = await tx.query<PendingAnchorCommand>(
      `UPDATE anchor_commands SET state = 'APPLIED', finished_at = $4
       WHERE medium = $1 AND origin = $2 AND size = $3::bigint AND verb = 'retry' AND state = 'PENDING' RETURNING id, verb, actor, evidence`,
      [medium, origin, size.toString(), now],
    );
    if (commands.length === 0 && !isUpdate) return;
    const { rowCount } = await tx.query(
      `UPDATE ${ROWS[medium].anchors} SET failure = NULL, updated_at = $3
       WHERE origin = $1 AND size = $2::bigint AND state = 'REJECTED' AND failure IS NOT NULL`,
      [origin, size.toString(), now],
    );
    if (rowCount !== 1) return;
    await endAlarms(tx, ROWS[medium].subjectOf(key), now);
    if (isUpdate) await audit(tx, { ...key, now }, 'applied', 'tried again');
    for (const command of commands) await audit(tx, { ...key, command, now }, 'applied', 'tried again');
  });
}

/** What stands after all. */
export type StandingEntry =
  | ({ readonly medium: 'hcs' } & Pick<VerifiedAnchor, 'entry' | 'feeTinybars'>)
  | ({ readonly medium: 'contract' } & Pick<VerifiedContractAnchor, 'entry'>);

/** A suspect anchor stands after all: mirrors that are believed show it. Key (command). */
export function acceptSuspect(
  db: Db,
  decision: Decision & StandingEntry & { readonly attempt: number; readonly confirmation: unknown },
): Promise<void> {
  return resolve(db, decision, 'VERIFIED', (tx) =>
    decision.medium === 'hcs' ? cover(tx, decision) : coverByContract(tx, decision),
  );
}

/** A suspect anchor is given up: it covers nothing, and a later window anchors again. Key (command). */
export function abandonSuspect(db: Db, decision: Decision & { readonly attempt: number }): Promise<void> {
  return resolve(db, decision, 'FAILED', (tx) =>
    endAlarms(tx, ROWS[decision.medium].subjectOf(decision), decision.now),
  );
}

function resolve(
  db: Db,
  decision: Decision & { readonly attempt: number; readonly confirmation?: unknown },
  end: 'VERIFIED' | 'FAILED',
  more: (tx: Tx) => Promise<void>,
): Promise<void> {
  const { medium, origin, size, attempt, confirmation, now } = decision;
  const { anchors, attempts } = ROWS[medium];
  return inTransaction(db, async (tx) => {
    await lock(tx, decision);
    if (!(await finish(tx, decision))) return;
    const failure = end === 'FAILED' ? JSON.stringify({ status: 'ABANDONED' }) : null;
    const { rowCount } = await tx.query(
      `UPDATE ${attempts} SET state = $4, failure = $5, confirmation = coalesce($6, confirmation), updated_at = $7
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
      `UPDATE ${anchors} SET state = $3, failure = $4, updated_at = $5 WHERE origin = $1 AND size = $2::bigint`,
      [origin, size.toString(), end, failure, now],
    );
    await more(tx);
    await thaw(tx, decision, now);
    await audit(tx, decision, 'applied', end);
  });
}

/** The other anchors of the medium that waited for the decision look again at once. */
async function thaw(tx: Tx, { medium, origin, size }: MediumKey, now: string): Promise<void> {
  const { anchors, subjectOf } = ROWS[medium];
  const { rows } = await tx.query<AnchorKey>(
    `SELECT origin, size FROM ${anchors} WHERE origin = $1 AND size <> $2::bigint AND state NOT IN ('VERIFIED', 'FAILED') ORDER BY size LIMIT 100`,
    [origin, size.toString()],
  );
  await enqueueMotion(
    tx,
    rows.map((key) => ({ kind: 'signal', workflowId: subjectOf(key), name: 'retryNow', payload: {} })),
    now,
  );
}

async function lock(tx: Tx, { medium, origin, size }: MediumKey): Promise<void> {
  const { rowCount } = await tx.query(
    `SELECT FROM ${ROWS[medium].anchors} WHERE origin = $1 AND size = $2::bigint FOR UPDATE`,
    [origin, size.toString()],
  );
  if (rowCount !== 1) throw new Error(`no anchor (${medium}) of ${origin} at ${size}`);
}

async function finish(tx: Tx, { command, now }: Decision, code?: ErrorCode, detail?: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    `UPDATE anchor_commands SET state = $2, code = $3, detail = $4, finished_at = $5 WHERE id = $1 AND state = 'PENDING'`,
    [command.id, code === undefined ? 'APPLIED' : 'REFUSED', code ?? null, detail?.slice(0, 1_000) ?? null, now],
  );
  return rowCount === 1;
}

/** Without a command, Temporal's update asked for the retry. */
function audit(
  tx: Tx,
  decision: MediumKey & { readonly command?: PendingAnchorCommand; readonly now: string },
  outcome: 'applied' | 'refused',
  detail: string,
): Promise<void> {
  const { command, medium, now } = decision;
  return appendAudit(tx, {
    at: now,
    actor: command?.actor ?? 'temporal:retryAnchor',
    action: `anchor.${command?.verb ?? 'retry'}.${outcome}`,
    subject: ROWS[medium].subjectOf(decision),
    detail: { detail: detail.slice(0, 1_000), ...(command && { command: command.id }) },
  });
}
