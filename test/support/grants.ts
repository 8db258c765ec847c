import { randomUUID } from 'node:crypto';
import type { TenantId } from '../../domain/ids.ts';
import { type BaseGrant, GRANT_TYPE, type Grant } from '../../domain/licence/grant.ts';
import {
  type IssuerKey,
  type IssuerKeys,
  instanceFingerprint,
  issueGrant,
  parseIssuerKey,
} from '../../domain/licence/issuers.ts';

export const TEST_INSTANCE = 'instance of a test';

export interface TestIssuer {
  readonly key: IssuerKey;
  readonly keys: IssuerKeys;
  /** The public JWKS as text. */
  readonly jwks: string;
  /** A signed BASE grant for a tenant of `TEST_INSTANCE`: a million units without end, unless told otherwise. */
  issue(tenant: TenantId, changes?: Partial<BaseGrant>): Promise<string>;
  sign(grant: Grant): Promise<string>;
}

/** A licence issuer with a fresh key. */
export async function createTestIssuer(kid = 'issuer-of-a-test'): Promise<TestIssuer> {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
  const { kty, crv, x, d } = await crypto.subtle.exportKey('jwk', pair.privateKey);
  const key = parseIssuerKey(JSON.stringify({ kid, kty, crv, x, d }));
  const half = { kty, crv, x } as JsonWebKey;
  const sign = (grant: Grant): Promise<string> => issueGrant(grant, key);
  return {
    key,
    keys: new Map([[kid, half]]),
    jwks: JSON.stringify({ keys: [{ kid, ...half }] }),
    sign,
    issue: (tenant, changes = {}) => sign({ ...baseGrant(tenant), ...changes }),
  };
}

export function baseGrant(tenant: TenantId): BaseGrant {
  return {
    type: GRANT_TYPE,
    kind: 'BASE',
    grantId: `grant-${randomUUID()}`,
    seq: 1,
    tenant,
    instanceFingerprint: instanceFingerprint(TEST_INSTANCE),
    term: { type: 'PERPETUAL', anchorDate: '2026-01-01', timeZone: 'UTC' },
    quota: 1_000_000,
    allocations: [],
    entitlements: [],
    notBefore: '2026-01-01T00:00:00Z',
  };
}
