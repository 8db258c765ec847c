import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import { instanceFingerprint, parseIssuerKeys } from '../../domain/licence/issuers.ts';
import type { DrainResult } from '../../store/drain-licences.ts';
import { drainTogether } from '../../store/drain-together.ts';
import { markImportServed } from '../../store/licence-imports.ts';
import { type ImportOutcome, importGrant } from '../../store/licences.ts';
import { applyOrgChange, markOrgChangeServed, type OrgChangeOutcome } from '../../store/org-changes.ts';
import type { Db } from '../../store/pool.ts';
import {
  checkClock,
  keepTrustedTime,
  listWaitingTenants,
  noteRenewal,
  type RenewalStep,
  renewLicences,
} from '../../store/renew-licences.ts';

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
    async drainLicences({
      tenantId,
    }: {
      readonly tenantId: TenantId;
    }): Promise<Pick<DrainResult, 'drafted' | 'waiting' | 'more'>> {
      const options = { clock, origin: deps.origin, publicUrl: deps.publicUrl };
      const { drafted, waiting, more } = await drainTogether(db, tenantId, {
        ...options,
        onStep: () => heartbeat({ tenantId, draining: true }),
      });
      return { drafted, waiting, more };
    },

    /**
     * Serves the queues of up to 20 tenants, by id after `after`; `after` of the result is where to go on. Throws
     * STORE_UNAVAILABLE. Key (none): a repeat finds nobody waiting who could be served.
     */
    async serveWaiting({ after }: { readonly after?: TenantId }): Promise<{ drafted: number; after?: TenantId }> {
      const tenants = await listWaitingTenants(db, after, TENANTS_A_CALL);
      let drafted = 0;
      for (const tenantId of tenants)
        for (let more = true; more; ) {
          const step = await drainTogether(db, tenantId, {
            clock,
            origin: deps.origin,
            publicUrl: deps.publicUrl,
            onStep: () => heartbeat({ tenantId, draining: true }),
          });
          drafted += step.drafted;
          more = step.more;
        }
      const last = tenants.at(-1);
      return { drafted, ...(last && tenants.length === TENANTS_A_CALL && { after: last }) };
    },

    /**
     * Renews the grants of up to 20 tenants as of `at`, by id after `after`. Refused, as an outcome, while the clock stands
     * behind a trusted time or behind `at`. Key (tenant, at): a repeat changes nothing. Throws STORE_UNAVAILABLE.
     */
    async renewLicences({ at, after }: RenewalInput): Promise<RenewalResult> {
      const now = clock.nowMicros();
      try {
        checkClock(now, at, await keepTrustedTime(db, deps.origin));
      } catch (error) {
        if (!(error instanceof ProoflineError) || error.code !== 'CLOCK_BEHIND') throw error;
        await noteRenewal(db, now, error.detail);
        return { refused: error.detail };
      }
      const step = await renewLicences(db, {
        at,
        limit: TENANTS_A_CALL,
        ...(after !== undefined && { after }),
        onStep: () => heartbeat({ at }),
      });
      if (step.after === undefined) await noteRenewal(db, now, undefined);
      return step;
    },

    /** Applies one requested change of the org tree or its shares. Key (change): a repeat returns the outcome. */
    changeOrganisation({ changeId }: { readonly changeId: string }): Promise<OrgChangeOutcome> {
      return applyOrgChange(db, changeId, clock);
    },

    /** Notes that who waited for an applied request was served: until then its workflow is restarted. Key (request). Throws STORE_UNAVAILABLE. */
    markServed(request: { readonly importId: string } | { readonly changeId: string }): Promise<void> {
      const now = clock.nowMicros();
      return 'importId' in request
        ? markImportServed(db, request.importId, now)
        : markOrgChangeServed(db, request.changeId, now);
    },
  };
}

/** Tenants that one call of an activity serves or renews. */
const TENANTS_A_CALL = 20;

export interface RenewalInput {
  /** RFC 3339 UTC: the instant as of which grants are renewed. */
  readonly at: string;
  readonly after?: TenantId;
}

export type RenewalResult = RenewalStep | { readonly refused: string };
