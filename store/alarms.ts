/** What a person must look at. An alarm is raised once for each thing, in the transaction that finds it, and ends once. */
import type { Json } from '../domain/canonical-json.ts';
import { ProoflineError } from '../domain/errors.ts';
import { asStoreError, type Queryable } from './pool.ts';

export const ALARM_KINDS = [
  'anchor.suspect',
  'anchor.rejected',
  'topic.gap',
  'topic.hash_break',
  'topic.foreign_payer',
  'topic.foreign_message',
  'topic.unknown_anchor',
  'topic.anchor_missing',
  'log.rollback',
  'log.corrupt',
] as const;
export type AlarmKind = (typeof ALARM_KINDS)[number];

export interface Alarm {
  readonly kind: AlarmKind;
  /** What it is about, e.g. a workflow's id. */
  readonly subject: string;
  readonly detail: Readonly<Record<string, Json>>;
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
}

/** Key (kind, subject): while it is open a repeat changes nothing. Returns whether it is new. */
export async function raiseAlarm(tx: Queryable, { kind, subject, detail, at }: Alarm): Promise<boolean> {
  const { rowCount } = await tx.query(
    `INSERT INTO alarms (kind, subject, detail, began_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (kind, subject) WHERE ended_at IS NULL DO NOTHING`,
    [kind, subject.slice(0, 512), JSON.stringify(detail), at],
  );
  return rowCount === 1;
}

/** Ends every open alarm about a subject. */
export async function endAlarms(tx: Queryable, subject: string, at: string): Promise<void> {
  await tx.query('UPDATE alarms SET ended_at = $2 WHERE subject = $1 AND ended_at IS NULL', [subject, at]);
}

/** Which of these subjects had an alarm that a person ended: `kind subject`. As proofline_worker. */
export async function readEndedAlarms(db: Queryable, subjects: readonly string[]): Promise<ReadonlySet<string>> {
  if (subjects.length === 0) return new Set();
  const { rows } = await db.query<{ kind: AlarmKind; subject: string }>(
    'SELECT DISTINCT kind, subject FROM alarms WHERE subject = ANY ($1::text[]) AND ended_at IS NOT NULL',
    [subjects],
  );
  return new Set(rows.map(({ kind, subject }) => `${kind} ${subject}`));
}

/**
 * Ends an alarm about a topic, with its audit entry: somebody looked. Those about anchors end with the anchor's own
 * verbs, those about the log once it goes on. As proofline_api. Throws NOT_FOUND, or TRANSITION_NOT_ALLOWED for one that is over or ends otherwise.
 */
export async function endAlarm(
  db: Queryable,
  {
    id,
    actor,
    reason,
    at,
  }: { readonly id: string; readonly actor: string; readonly reason: string; readonly at: string },
): Promise<void> {
  const { rows } = await db
    .query<{ outcome: string }>('SELECT end_alarm($1::bigint, $2, $3, $4) AS outcome', [id, actor, reason, at])
    .catch((error: unknown) => Promise.reject(asStoreError(error)));
  const outcome = rows[0]?.outcome;
  if (outcome === 'unknown') throw new ProoflineError('NOT_FOUND');
  if (outcome !== 'ended') throw new ProoflineError('TRANSITION_NOT_ALLOWED', `the alarm is ${outcome}`);
}

/** Open alarms by kind, every kind named; for the gauge that pages. As proofline_worker. */
export async function countAlarms(db: Queryable): Promise<Readonly<Record<AlarmKind, number>>> {
  const { rows } = await db.query<{ kind: AlarmKind; n: number }>(
    'SELECT kind, count(*)::int AS n FROM alarms WHERE ended_at IS NULL GROUP BY kind',
  );
  const counts = new Map(rows.map(({ kind, n }) => [kind, n]));
  return Object.fromEntries(ALARM_KINDS.map((kind) => [kind, counts.get(kind) ?? 0])) as Record<AlarmKind, number>;
}

export interface AlarmRecord {
  readonly id: string;
  readonly kind: AlarmKind;
  readonly subject: string;
  readonly detail: Readonly<Record<string, Json>>;
  readonly beganAt: string;
  readonly endedAt: string | null;
}

/** Newest first, at most 500. As proofline_api, for operators. */
export async function readAlarms(db: Queryable, openOnly: boolean): Promise<readonly AlarmRecord[]> {
  const { rows } = await db
    .query('SELECT * FROM read_alarms($1, 500)', [openOnly])
    .catch((error: unknown) => Promise.reject(asStoreError(error)));
  return rows.map(({ id, kind, subject, detail, began_at, ended_at }) => ({
    id: String(id),
    kind,
    subject,
    detail,
    beganAt: began_at,
    endedAt: ended_at,
  }));
}
