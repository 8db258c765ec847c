import { join } from 'node:path';
import type { TenantId } from '../../domain/ids.ts';
import { localKeyPaths } from '../../local/keys/ensure-local-keys.ts';
import { issueLocalGrant } from '../../local/license/issue-local-grant.ts';
import type { TestClient } from '../e2e/client.ts';

/** A grant without end for a tenant, by the licence issuer of a running system: the text to import. */
export async function grantOfStack(dataDir: string, client: TestClient, tenant: TenantId): Promise<string> {
  return issueLocalGrant({
    keyFile: localKeyPaths(join(dataDir, 'keys')).licenseIssuer.keyFile,
    instance: (await client.trust()).instance,
    tenant,
    grantId: `grant-${tenant}`,
    quota: 1_000_000,
    term: { type: 'PERPETUAL', anchorDate: '2026-01-01', timeZone: 'UTC' },
    notBefore: '2026-01-01T00:00:00Z',
  });
}
