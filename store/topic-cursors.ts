/** How far the messages of a topic are known without a break: the place and the running hash there. */
import type { HcsAnchorEntry } from '../domain/bundle.ts';
import { fromBase64Url, toBase64Url } from '../domain/bytes.ts';
import type { Queryable } from './pool.ts';

export interface TopicKey {
  readonly network: string;
  readonly topicId: string;
}

export interface TopicCursor {
  /** 0 before the first message. */
  readonly sequenceNumber: bigint;
  /** 48 bytes. */
  readonly runningHash: Uint8Array;
}

export async function readTopicCursor(db: Queryable, { network, topicId }: TopicKey): Promise<TopicCursor | undefined> {
  const { rows } = await db.query<TopicCursor>(
    'SELECT sequence_number AS "sequenceNumber", running_hash AS "runningHash" FROM topic_cursors WHERE network = $1 AND topic_id = $2',
    [network, topicId],
  );
  return rows[0];
}

/** Key (network, topic): a cursor only goes forwards. */
export async function moveTopicCursor(
  db: Queryable,
  { network, topicId }: TopicKey,
  { sequenceNumber, runningHash }: TopicCursor,
  now: string,
): Promise<void> {
  await db.query(
    `INSERT INTO topic_cursors (network, topic_id, sequence_number, running_hash, updated_at) VALUES ($1, $2, $3::bigint, $4, $5)
     ON CONFLICT (network, topic_id) DO UPDATE SET sequence_number = excluded.sequence_number, running_hash = excluded.running_hash, updated_at = excluded.updated_at
     WHERE topic_cursors.sequence_number < excluded.sequence_number`,
    [network, topicId, sequenceNumber.toString(), runningHash, now],
  );
}

/** Takes a verified anchor as the next message of its topic, if it is; else the nightly walk will. */
export async function followTopic(tx: Queryable, entry: HcsAnchorEntry, now: string): Promise<void> {
  const { network, topicId, sequenceNumber } = entry;
  const [before, after] = [fromBase64Url(entry.prevRunningHash), fromBase64Url(entry.runningHash)];
  if (before === undefined || after === undefined) return;
  const sequence = BigInt(sequenceNumber);
  if (sequence === 1n) return moveTopicCursor(tx, entry, { sequenceNumber: sequence, runningHash: after }, now);
  await tx.query(
    `UPDATE topic_cursors SET sequence_number = $3::bigint, running_hash = $4, updated_at = $5
     WHERE network = $1 AND topic_id = $2 AND sequence_number = $3::bigint - 1 AND running_hash = $6`,
    [network, topicId, sequence.toString(), after, now, before],
  );
}

/**
 * The running hash that was seen at a place of a topic, base64url: by the walk, or by an anchor that was verified there.
 * Undefined where none was.
 */
export async function readKnownHash(
  db: Queryable,
  { network, topicId }: TopicKey,
  sequenceNumber: bigint,
): Promise<string | undefined> {
  const { rows } = await db.query<{ walked: Uint8Array | null; anchored: string | null }>(
    `SELECT (SELECT running_hash FROM topic_cursors WHERE network = $1 AND topic_id = $2 AND sequence_number = $3::bigint) AS walked,
       (SELECT entry ->> 'runningHash' FROM anchors WHERE state = 'VERIFIED' AND entry ->> 'network' = $1 AND entry ->> 'topicId' = $2
          AND (entry ->> 'sequenceNumber')::bigint = $3::bigint LIMIT 1) AS anchored`,
    [network, topicId, sequenceNumber.toString()],
  );
  const { walked, anchored } = rows[0] ?? { walked: null, anchored: null };
  return walked === null ? (anchored ?? undefined) : toBase64Url(walked);
}
