import { readFile } from 'node:fs/promises';
import type { TenantId } from '../../domain/ids.ts';
import { type Allocation, type BaseGrant, GRANT_TYPE, type Term } from '../../domain/licence/grant.ts';
import { instanceFingerprint, issueGrant, parseIssuerKey } from '../../domain/licence/issuers.ts';

export interface LocalGrant {
  /** The issuer's private JWK. */
  readonly keyFile: string;
  /** The instance id that the workers are configured with. */
  readonly instance: string;
  readonly tenant: TenantId;
  /** Unique for ever, e.g. `local-1`. */
  readonly grantId: string;
  readonly quota: number;
  readonly term: Term;
  /** RFC 3339 UTC. */
  readonly notBefore: string;
  /** The tenant's grant before this one, if there is any. */
  readonly previous?: { readonly seq: number; readonly hash: string };
  readonly allocations?: readonly Allocation[];
  readonly entitlements?: readonly string[];
}

/** Issues a BASE grant with a key of this machine: the text of the file. Throws CONFIG_INVALID, GRANT_MALFORMED. */
export async function issueLocalGrant(input: LocalGrant): Promise<string> {
  const grant: BaseGrant = {
    type: GRANT_TYPE,
    kind: 'BASE',
    grantId: input.grantId,
    seq: (input.previous?.seq ?? 0) + 1,
    ...(input.previous && { previousGrantHash: input.previous.hash }),
    tenant: input.tenant,
    instanceFingerprint: instanceFingerprint(input.instance),
    term: input.term,
    quota: input.quota,
    allocations: input.allocations ?? [],
    entitlements: input.entitlements ?? [],
    notBefore: input.notBefore,
  };
  return issueGrant(grant, parseIssuerKey(await readFile(input.keyFile, 'utf8')));
}
