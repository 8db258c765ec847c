import { toHex } from '../domain/bytes.ts';
import { type ErrorCode, ProoflineError } from '../domain/errors.ts';
import { type TenantId, workflowIds } from '../domain/ids.ts';
import { MAX_GRANT_BYTES } from '../domain/licence/grant.ts';
import { fileWithin } from '../domain/licence/signed-file.ts';
import { asStoreError, type Queryable } from './pool.ts';

export interface ImportRequest {
  /** A new id: UUID. */
  readonly id: string;
  /** The file's text; what `fileWithin` names around it is passed over. */
  readonly jws: string;
  readonly dryRun: boolean;
  /** Who asks, as the audit trail names them. */
  readonly requestedBy: string;
  /** The tenant whose administrator asks; absent for a platform administrator, who may import for any tenant. */
  readonly tenantId?: TenantId;
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
}

export interface ImportRecord {
  readonly id: string;
  /** Hex SHA-256 of the file: what the next grant of the chain names. */
  readonly hash: string;
  readonly dryRun: boolean;
  /** UNCHANGED: imported before, or a dry run that would be applied; `detail` says which. */
  readonly state: 'PENDING' | 'APPLIED' | 'UNCHANGED' | 'REFUSED';
  /** Why it was refused. */
  readonly code: ErrorCode | null;
  readonly detail: string | null;
  /** What the import changed, or would change. */
  readonly diff: Readonly<Record<string, unknown>> | null;
  readonly createdAt: string;
  readonly finishedAt: string | null;
}

/**
 * Records a request to import a grant and owes the start of its workflow; a file that was imported before is
 * UNCHANGED at once. As proofline_api. Returns the request's id. Throws GRANT_MALFORMED beyond 64 KiB.
 */
export async function requestImport(db: Queryable, request: ImportRequest): Promise<string> {
  const jws = fileWithin(request.jws);
  if (jws.length > MAX_GRANT_BYTES || !/^[\x21-\x7e]+$/.test(jws))
    throw new ProoflineError('GRANT_MALFORMED', `one line of ASCII is expected, at most ${MAX_GRANT_BYTES} characters`);
  try {
    await db.query('SELECT request_licence_import($1, $2, $3, $4, $5, $6)', [
      request.id,
      jws,
      request.dryRun,
      request.requestedBy,
      request.tenantId ?? null,
      request.at,
    ]);
  } catch (error) {
    throw asStoreError(error);
  }
  return request.id;
}

/**
 * The request as it stands; undefined if there is none, or it is not the tenant's. Without `tenantId` the reader is a
 * platform administrator. As proofline_api.
 */
export async function readImportOutcome(
  db: Queryable,
  id: string,
  tenantId?: TenantId,
): Promise<ImportRecord | undefined> {
  const { rows } = await db
    .query('SELECT * FROM read_licence_import($1, $2)', [id, tenantId ?? null])
    .catch((error: unknown) => {
      throw asStoreError(error);
    });
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    id: row.id,
    hash: toHex(row.hash),
    dryRun: row.dry_run,
    state: row.state,
    code: row.code,
    detail: row.detail,
    diff: row.diff,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
  };
}

/** Of these requests those that are over. As proofline_api. */
export async function finishedImports(db: Queryable, ids: readonly string[]): Promise<string[]> {
  const { rows } = await db
    .query<{ id: string }>('SELECT * FROM finished_licence_imports($1::uuid[]) AS f (id)', [ids])
    .catch((error: unknown) => {
      throw asStoreError(error);
    });
  return rows.map(({ id }) => id);
}

/** A request whose workflow has given no outcome yet, or was applied and has not served who waited. */
export interface OpenImport {
  readonly importId: string;
  readonly workflowId: string;
}

/** Imports asked for before `before` that have not come to their end, oldest first; at most `limit`. As proofline_worker. */
export async function readOpenImports(db: Queryable, before: string, limit: number): Promise<readonly OpenImport[]> {
  const { rows } = await db.query<{ id: string; hash: Uint8Array; generation: number }>(
    `SELECT id, hash, generation FROM licence_imports 
     WHERE (state = 'PENDING' OR (state = 'APPLIED' AND served_at IS NULL)) AND created_at < $1 AND generation IS NOT NULL ORDER BY created_at LIMIT $2`,
    [before, limit],
  );
  return rows.map(({ id, hash, generation }) => ({
    importId: id,
    workflowId: workflowIds.importLicense(toHex(hash), generation),
  }));
}

/** Notes that those who waited for an applied import were served. Key (import). As proofline_worker. */
export async function markImportServed(db: Queryable, importId: string, now: string): Promise<void> {
  await db
    .query("UPDATE licence_imports SET served_at = $2 WHERE id = $1 AND state = 'APPLIED' AND served_at IS NULL", [
      importId,
      now,
    ])
    .catch((error: unknown) => {
      throw asStoreError(error);
    });
}
