/**
 * Applies the support verbs. Commands are rows first (`command-requests.ts`), and Postgres is the truth: the relay applies
 * them here, always in SQL, and the same transaction owes the batch a signal `commandsApplied` through the outbox, or in
 * its turn where batches are many. That is right before any batch exists (nobody to signal), while one runs (it looks
 * again), after it closed (a retried proof joins a new one), when its run is gone (the next run asks Postgres) and while
 * Temporal is down (the signal waits).
 *
 * Lock order: log_progress and batches by id (for retries alone), proofs by id, the queues' rows of these proofs.
 */
import { type CommandVerb, decideCommand, type Evidence, MAX_COMMANDS, type ProofFacts } from '../domain/commands.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { BatchId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import { wakeOf } from './batches.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { queueRetries } from './retries.ts';
import { ringEveryone } from './ring-done.ts';
import { appendTimeline, type TimelineRow } from './timeline.ts';
import { oweWakes, WOKEN } from './wake-batches.ts';

/** One verb for one proof, as it waits in its row. */
export interface Command {
  readonly id: string;
  readonly proofId: ProofId;
  readonly verb: CommandVerb;
  readonly actor: string;
  readonly reason: string;
}

interface Locked extends ProofFacts {
  readonly id: ProofId;
  readonly tenantId: TenantId;
  readonly submissionId: SubmissionId;
  readonly batchId: BatchId | null;
  readonly batchState: 'FORMED' | 'SEALED' | 'CLOSED' | null;
  readonly generation: number | null;
}

interface Applied {
  readonly command: Command;
  readonly proof: Locked;
}

/** Decides the oldest pending commands, at most `MAX_COMMANDS`, in one transaction. Returns how many. Two relays share the work. */
export function applyPending(db: Db, input: { readonly origin: string; readonly now: string }): Promise<number> {
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<Command>(
      `SELECT id, proof_id AS "proofId", verb, actor, reason FROM proof_commands WHERE state = 'PENDING'
       ORDER BY created_at, request_id, n LIMIT $1 FOR UPDATE SKIP LOCKED`,
      [MAX_COMMANDS],
    );
    await applyCommands(tx, rows, input);
    return rows.length;
  });
}

/**
 * Decides these commands under the row locks of their proofs and keeps the outcome of each. Key (command): the caller
 * holds their rows. Several for one proof are decided one after the other.
 */
export async function applyCommands(
  tx: Tx,
  commands: readonly Command[],
  input: { readonly origin: string; readonly now: string },
): Promise<void> {
  if (commands.length === 0) return;
  await lock(tx, commands, input.origin);
  const woken = new Map<BatchId, number>();
  for (let rest = commands; rest.length > 0; ) {
    const round = new Map<ProofId, Command>();
    for (const command of rest) if (!round.has(command.proofId)) round.set(command.proofId, command);
    await applyRound(tx, [...round.values()], input, woken);
    rest = rest.filter((command) => round.get(command.proofId) !== command);
  }
  await tell(tx, woken, input.now);
  await ringEveryone(tx);
}

/** Tells the batches: a few at once, many in their turn. */
async function tell(tx: Tx, woken: ReadonlyMap<BatchId, number>, now: string): Promise<void> {
  if (woken.size > WOKEN) return oweWakes(tx, [...woken.keys()], 'commandsApplied', now);
  await enqueueMotion(
    tx,
    [...woken].map(([batch, generation]) => wakeOf(batch, generation, 'commandsApplied')),
    now,
  );
}

/** A retry needs more than the proof: evidence that lands meanwhile, and a batch that closes, wait for its commit. */
async function lock(tx: Tx, commands: readonly Command[], origin: string): Promise<void> {
  const retried = commands.filter((c) => c.verb === 'retry').map((c) => c.proofId);
  if (retried.length > 0) {
    await tx.query('SELECT FROM log_progress WHERE origin = $1 FOR UPDATE', [origin]);
    await tx.query(
      `SELECT FROM batches WHERE id IN (
         SELECT coalesce(s.batch_id, p.batch_id, u.batch_id) FROM proofs p JOIN submissions u ON u.id = p.submission_id
         LEFT JOIN seals s ON s.proof_id = p.id WHERE p.id = ANY ($1::uuid[])) ORDER BY id FOR UPDATE`,
      [retried],
    );
  }
  await tx.query('SELECT FROM proofs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE', [
    commands.map((c) => c.proofId),
  ]);
}

async function applyRound(
  tx: Tx,
  commands: readonly Command[],
  { origin, now }: { readonly origin: string; readonly now: string },
  woken: Map<BatchId, number>,
): Promise<void> {
  const proofs = await readLocked(
    tx,
    origin,
    commands.map((c) => c.proofId),
  );
  const outcomes: { command: Command; batchId: BatchId | null; code?: ErrorCode; detail?: string }[] = [];
  const ended: Record<'CANCELLED' | 'REJECTED', Applied[]> = { CANCELLED: [], REJECTED: [] };
  const retried: (Applied & { readonly through: readonly Evidence[] })[] = [];
  const released: Applied[] = [];
  for (const command of commands) {
    const proof = proofs.get(command.proofId);
    // One that cannot be decided must not stand in the way of all others.
    if (proof === undefined) {
      outcomes.push({ command, batchId: null, code: 'NOT_FOUND', detail: 'the proof is gone' });
      continue;
    }
    const decision = decideCommand(command.verb, proof);
    const outcome = { command, batchId: proof.batchId };
    if (decision.effect === 'refuse') {
      outcomes.push({ ...outcome, code: decision.code, detail: `the proof is ${proof.state}: ${decision.detail}` });
      continue;
    }
    outcomes.push(outcome);
    if (decision.effect === 'end') ended[decision.to].push({ command, proof });
    else if (decision.effect === 'release') released.push({ command, proof });
    else retried.push({ command, proof, through: decision.through });
    if (proof.batchId !== null && proof.batchState !== 'CLOSED') woken.set(proof.batchId, proof.generation ?? 1);
  }
  await end(tx, ended.CANCELLED, 'CANCELLED', now);
  await end(tx, ended.REJECTED, 'REJECTED', now);
  await release(tx, released, now);
  await retry(tx, retried, now);
  await tx.query(
    `UPDATE proof_commands c SET state = CASE WHEN o.code IS NULL THEN 'APPLIED' ELSE 'REFUSED' END, code = o.code, detail = o.detail, batch_id = o.batch, finished_at = $2
     FROM jsonb_to_recordset($1) AS o (id uuid, code text, detail text, batch uuid) WHERE c.id = o.id`,
    [
      JSON.stringify(
        outcomes.map(({ command, batchId, code, detail }) => ({ id: command.id, code, detail, batch: batchId })),
      ),
      now,
    ],
  );
}

/** What the proofs are now that their rows are locked: a statement of its own, so that it sees what the lock waited for. */
async function readLocked(tx: Tx, origin: string, ids: readonly ProofId[]): Promise<ReadonlyMap<ProofId, Locked>> {
  const { rows } = await tx.query<Locked>(
    `SELECT p.id, p.tenant_id AS "tenantId", p.submission_id AS "submissionId", p.state, p.anchor_policy AS "anchorPolicy",
       p.released_at IS NOT NULL AS "isReleased", p.failure ->> 'stage' AS "failedStage",
       EXISTS (SELECT FROM certificates c WHERE c.proof_id = p.id) AS "isDrafted", b.id AS "batchId", b.state AS "batchState", b.generation,
       CASE WHEN s.signature IS NULL THEN 'RECEIVED' WHEN l.index IS NULL OR g.origin IS NULL OR l.index >= g.timestamp_cursor THEN 'SEALED'
         WHEN l.index >= g.anchor_cursor THEN 'TIMESTAMPED' ELSE 'ANCHORED' END AS evidence
     FROM proofs p JOIN submissions u ON u.id = p.submission_id LEFT JOIN seals s ON s.proof_id = p.id LEFT JOIN leaves l ON l.proof_id = p.id
     LEFT JOIN log_progress g ON g.origin = $2 LEFT JOIN batches b ON b.id = coalesce(s.batch_id, p.batch_id, u.batch_id)
     WHERE p.id = ANY ($1::uuid[])`,
    [ids, origin],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** CANCELLED or REJECTED: out of every queue. A leaf that is queued or in the tree stays where it is. */
async function end(tx: Tx, ended: readonly Applied[], to: 'CANCELLED' | 'REJECTED', now: string): Promise<void> {
  if (ended.length === 0) return;
  const ids = ended.map(({ proof }) => proof.id);
  await tx.query(
    `UPDATE proofs p SET state = $2::proof_state, failure = CASE WHEN $2::proof_state = 'REJECTED'
       THEN jsonb_build_object('stage', u.stage, 'code', 'REJECTED_BY_OPERATOR', 'detail', u.reason, 'at', $3::text) END
     FROM unnest($1::uuid[], $4::text[], $5::text[]) AS u (id, stage, reason) WHERE p.id = u.id`,
    [ids, to, now, ended.map(({ proof }) => proof.state), ended.map(({ command }) => command.reason)],
  );
  await tx.query('DELETE FROM licence_queue WHERE proof_id = ANY ($1::uuid[])', [ids]);
  await tx.query('DELETE FROM retry_queue WHERE proof_id = ANY ($1::uuid[])', [ids]);
  await appendTimeline(tx, stepsOf(ended, to, now));
}

/** Released: the state stays, so the timeline notes it and no event tells of it. */
async function release(tx: Tx, released: readonly Applied[], now: string): Promise<void> {
  if (released.length === 0) return;
  await tx.query('UPDATE proofs SET released_at = $2 WHERE id = ANY ($1::uuid[])', [
    released.map(({ proof }) => proof.id),
    now,
  ]);
  await appendTimeline(
    tx,
    stepsOf(released, 'TIMESTAMPED', now).map((step) => ({ ...step, changesState: false, withoutEvent: true })),
  );
}

async function retry(
  tx: Tx,
  retried: readonly (Applied & { readonly through: readonly Evidence[] })[],
  now: string,
): Promise<void> {
  if (retried.length === 0) return;
  await tx.query(
    `UPDATE proofs p SET state = u.state, failure = NULL FROM unnest($1::uuid[], $2::proof_state[]) AS u (id, state) WHERE p.id = u.id`,
    [retried.map(({ proof }) => proof.id), retried.map(({ through }) => through.at(-1))],
  );
  const leaving = retried.filter(({ proof }) => proof.evidence === 'RECEIVED' || proof.batchState === 'CLOSED');
  await queueRetries(
    tx,
    leaving.map(({ proof }) => proof.id),
    now,
  );
  const states = new Set(retried.flatMap(({ through }) => through));
  for (const state of ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED'] as const) {
    const passed = retried.filter(({ through }) => through.includes(state));
    if (states.has(state)) await appendTimeline(tx, stepsOf(passed, state, now));
  }
}

/** One row per submission and reason: a command may come before any batch, and a proof may leave its batch. */
function stepsOf(applied: readonly Applied[], state: TimelineRow['state'], at: string): TimelineRow[] {
  const groups = Map.groupBy(applied, ({ command, proof }) =>
    [proof.submissionId, command.verb, command.actor, command.reason].join('\n'),
  );
  return [...groups.values()].map((group) => {
    const { command, proof } = group[0] as Applied;
    return {
      tenantId: proof.tenantId,
      scope: { submissionId: proof.submissionId },
      state,
      at,
      members: group.map((one) => one.proof.id),
      detail: { command: command.verb, reason: command.reason },
    };
  });
}
