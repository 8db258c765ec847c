import type { Clock } from '../../domain/clock.ts';
import type { TenantId } from '../../domain/ids.ts';
import { instanceFingerprint, parseIssuerKeys } from '../../domain/licence/issuers.ts';
import { type DrainResult, drainLicences } from '../../store/drain-licences.ts';
import { type ImportOutcome, importGrant } from '../../store/licences.ts';
import type { Db } from '../../store/pool.ts';

export interface LicensingDeps {
  readonly db: Db;
  readonly clock: Clock;
  /** Public keys of the licence issuers: the text of a JWKS. */
  readonly issuers: string;
  /** The stable id of this instance, whose fingerprint grants name. */
  readonly instance: string;
  readonly origin: string;
  /** Base of the links in certificates. */
  readonly publicUrl: string;
  readonly heartbeat: (detail: unknown) => void;
}

export type LicenceActivities = ReturnType<typeof createLicensing>;

/** The activities around licence grants. Throws CONFIG_INVALID if the issuers' keys cannot be read. */
export function createLicensing(deps: LicensingDeps) {
  const { db, clock, heartbeat } = deps;
  const importing = {
    clock,
    issuers: parseIssuerKeys(deps.issuers),
    instanceFingerprint: instanceFingerprint(deps.instance),
  };

  return {
    /**
     * Checks and applies one requested import. Key (request): a repeat returns the outcome. Refusals are outcomes;
     * throws STORE_UNAVAILABLE, NOT_FOUND.
     */
    importGrant({ importId }: { readonly importId: string }): Promise<ImportOutcome> {
      return importGrant(db, importId, importing);
    },

    /**
     * Serves a tenant's queue, at most 16,000 proofs a call; each batch served is owed its wake in the transaction
     * that drafts. Throws STORE_UNAVAILABLE.
     */
    async drainLicences({ tenantId }: { readonly tenantId: TenantId }): Promise<Omit<DrainResult, 'batchesServed'>> {
      const options = { clock, origin: deps.origin, publicUrl: deps.publicUrl };
      const { drafted, waiting, more } = await drainLicences(db, tenantId, {
        ...options,
        onStep: () => heartbeat({ tenantId, draining: true }),
      });
      return { drafted, waiting, more };
    },
  };
}
