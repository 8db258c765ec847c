/** Anchors as the walk along a topic looks for them: by the size that a message names, and by their place. */
import type { HcsAnchorEntry } from '../domain/bundle.ts';
import type { Queryable } from './pool.ts';
import type { TopicKey } from './topic-cursors.ts';

export interface OwnAnchor {
  /** Hex. */
  readonly root: string;
}

/** Anchors of a log that were ever asked for, whatever became of them, by size. As proofline_worker. */
export async function readOwnAnchors(
  db: Queryable,
  origin: string,
  sizes: readonly bigint[],
): Promise<ReadonlyMap<string, OwnAnchor>> {
  const { rows } = await db.query<{ size: bigint; root: string }>(
    `SELECT a.size, encode(c.root, 'hex') AS root FROM anchors a JOIN checkpoints c USING (origin, size) WHERE a.origin = $1 AND a.size = ANY ($2::bigint[])`,
    [origin, sizes.map(String)],
  );
  return new Map(rows.map(({ size, root }) => [size.toString(), { root }]));
}

/** Entries that were verified from one place of a topic to another, both included, by sequence number. */
export async function readAnchorsAt(
  db: Queryable,
  { network, topicId }: TopicKey,
  from: { readonly sequenceNumber: bigint },
  to: { readonly sequenceNumber: bigint },
): Promise<ReadonlyMap<string, HcsAnchorEntry>> {
  const { rows } = await db.query<{ entry: HcsAnchorEntry }>(
    `SELECT entry FROM anchors WHERE state = 'VERIFIED' AND entry ->> 'network' = $1 AND entry ->> 'topicId' = $2
       AND (entry ->> 'sequenceNumber')::bigint BETWEEN $3::bigint AND $4::bigint`,
    [network, topicId, from.sequenceNumber.toString(), to.sequenceNumber.toString()],
  );
  return new Map(rows.map(({ entry }) => [entry.sequenceNumber, entry]));
}

/** Places of at most 100 anchors after one in a topic, of those verified before an instant. */
export async function readAnchorsBeyond(
  db: Queryable,
  { network, topicId }: TopicKey,
  sequenceNumber: bigint,
  before: string,
): Promise<readonly bigint[]> {
  const { rows } = await db.query<{ sequence: bigint }>(
    `SELECT (entry ->> 'sequenceNumber')::bigint AS sequence FROM anchors WHERE state = 'VERIFIED' AND entry ->> 'network' = $1 AND entry ->> 'topicId' = $2
       AND (entry ->> 'sequenceNumber')::bigint > $3::bigint AND updated_at < $4 ORDER BY 1 LIMIT 100`,
    [network, topicId, sequenceNumber.toString(), before],
  );
  return rows.map(({ sequence }) => sequence);
}
