import { fromHex, toHex } from '../domain/bytes.ts';
import type { Json } from '../domain/canonical-json.ts';
import { checkRevocationList, type RevocationList } from '../domain/licence/revocation-list.ts';
import type { SignedFile } from '../domain/licence/signed-file.ts';
import { parseInstant } from '../domain/time.ts';
import type { Tx } from './pool.ts';

export interface ListImport {
  readonly instanceFingerprint: string;
  readonly jws: string;
  readonly by: string;
  readonly isDryRun: boolean;
  /** RFC 3339 UTC with microseconds. */
  readonly now: string;
}

/**
 * Takes a list whose signature was verified: the grants that it names count no longer from the instant it names, those
 * that it no longer names count again. Returns what changes, of grants of this instance. One list at a time.
 * Throws GRANT_WRONG_INSTANCE, GRANT_LIST_OUTDATED, GRANT_DATES_INVALID. Locks: the lists, then the grants that change.
 */
export async function takeRevocationList(
  tx: Tx,
  list: SignedFile<RevocationList>,
  input: ListImport,
): Promise<'unchanged' | { readonly [key: string]: Json }> {
  await tx.query("SELECT pg_advisory_xact_lock(hashtextextended('proofline.revocation_list', 0))");
  const { rows: last } = await tx.query<{ number: number; hash: Uint8Array }>(
    'SELECT number, hash FROM licence_revocation_lists ORDER BY number DESC LIMIT 1',
  );
  const checked = checkRevocationList(list, {
    instanceFingerprint: input.instanceFingerprint,
    nowMs: Number((parseInstant(input.now) ?? 0n) / 1000n),
    ...(last[0] && { last: { number: last[0].number, hash: toHex(last[0].hash) } }),
  });
  if (checked === 'unchanged') return 'unchanged';
  const named = [checked.revoked.map((r) => r.grantId), checked.revoked.map((r) => r.from)];
  const { rows: changes } = await tx.query<{ id: string; from: string | null }>(
    `SELECT g.id, l.since AS "from" FROM licence_grants g LEFT JOIN unnest($1::text[], $2::timestamptz[]) AS l (id, since) ON l.id = g.id
     WHERE g.kind = 'BASE' AND g.listed_at IS DISTINCT FROM l.since AND (g.listed_at IS NOT NULL OR l.id IS NOT NULL) ORDER BY g.id FOR NO KEY UPDATE OF g`,
    named,
  );
  const { number, issuedAt, nextUpdate } = checked;
  const result = {
    number,
    issuedAt,
    nextUpdate,
    revoked: changes.flatMap((c) => (c.from === null ? [] : [{ grantId: c.id, from: c.from }])),
    restored: changes.flatMap((c) => (c.from === null ? [c.id] : [])),
  };
  if (input.isDryRun) return result;
  await tx.query(
    `INSERT INTO licence_revocation_lists (number, hash, jws, payload, issued_at, next_update, imported_by, imported_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [number, fromHex(list.hash), input.jws, JSON.stringify(checked), issuedAt, nextUpdate, input.by, input.now],
  );
  await tx.query(
    'UPDATE licence_grants g SET listed_at = c.since FROM unnest($1::text[], $2::timestamptz[]) AS c (id, since) WHERE g.id = c.id',
    [changes.map((c) => c.id), changes.map((c) => c.from)],
  );
  return result;
}
