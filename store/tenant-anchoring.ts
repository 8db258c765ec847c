/** How a tenant's proofs are anchored: what its next submissions take over. Set by operators, audited. */
import { ProoflineError } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import { asStoreError, type Queryable, type Tx } from './pool.ts';

export interface TenantAnchoring {
  readonly window: AnchorWindow;
  readonly policy: AnchorPolicy;
  /** Of PREFERRED: how long a proof waits for its anchor. */
  readonly deadlineMs: number;
  /** Whether a submission may ask for a weaker policy. */
  readonly mayWeaken: boolean;
}

/** Within `withTenant`. Throws NOT_FOUND. */
export async function readTenantAnchoring(tx: Tx, tenant: TenantId): Promise<TenantAnchoring> {
  const { rows } = await tx.query<TenantAnchoring>(
    `SELECT anchor_window AS "window", anchor_policy AS policy, anchor_deadline_ms AS "deadlineMs", may_weaken_anchor_policy AS "mayWeaken"
     FROM tenants WHERE id = $1`,
    [tenant],
  );
  const [found] = rows;
  if (found === undefined) throw new ProoflineError('NOT_FOUND');
  return found;
}

/** Leaves alone what is absent; with its audit entry in one transaction. As proofline_api. Throws NOT_FOUND. */
export async function setTenantAnchoring(
  db: Queryable,
  change: Partial<TenantAnchoring> & {
    readonly tenant: TenantId;
    readonly actor: string;
    readonly reason: string;
    /** RFC 3339 UTC with microseconds. */
    readonly at: string;
  },
): Promise<void> {
  const { tenant, window, policy, deadlineMs, mayWeaken, actor, reason, at } = change;
  const { rows } = await db
    .query<{ found: boolean }>('SELECT set_tenant_anchoring($1, $2, $3, $4, $5, $6, $7, $8) AS found', [
      tenant,
      window ?? null,
      policy ?? null,
      deadlineMs ?? null,
      mayWeaken ?? null,
      actor,
      reason,
      at,
    ])
    .catch((error: unknown) => Promise.reject(asStoreError(error)));
  if (rows[0]?.found !== true) throw new ProoflineError('NOT_FOUND');
}
