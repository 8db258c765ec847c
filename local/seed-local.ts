/** What a local system begins with: one tenant with its root unit and key, an operator's key, and a licence. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { apiKeyPrefix, hashApiKey } from '../domain/api-key.ts';
import type { TenantId } from '../domain/ids.ts';
import { type BaseGrant, GRANT_TYPE } from '../domain/licence/grant.ts';
import { instanceFingerprint, issueGrant, parseIssuerKey } from '../domain/licence/issuers.ts';

const LOCAL_NAME = 'Local';
const SCOPES = ['proofs:write', 'proofs:read', 'verify'];
const OPERATOR_ROLES = ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR'];
const QUOTA = 1_000_000_000;
const IMPORT_WITHIN_MS = 60_000;

export interface SeedInput {
  /** As proofline_owner. */
  readonly dbUrl: string;
  readonly instance: string;
  readonly apiKey: string;
  readonly operatorKey: string;
}

/** Writes tenant, unit and keys unless they are there; returns the tenant. Key: the instance, so ids stay the same. */
export async function seedTenantAndKeys(input: SeedInput): Promise<TenantId> {
  const tenant = derivedId(input.instance, 'tenant');
  const unit = derivedId(input.instance, 'org-unit');
  const client = new pg.Client({ connectionString: input.dbUrl });
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query('INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING', [
      tenant,
      LOCAL_NAME,
    ]);
    await client.query(
      'INSERT INTO org_units (id, tenant_id, depth, path, name, created_at) VALUES ($1, $2, 0, ARRAY[$1::uuid], $3, now()) ON CONFLICT DO NOTHING',
      [unit, tenant, LOCAL_NAME],
    );
    const keys = [
      { name: 'api-key', secret: input.apiKey, tenant, unit, scopes: SCOPES, roles: [] },
      { name: 'operator-key', secret: input.operatorKey, tenant: null, unit: null, scopes: [], roles: OPERATOR_ROLES },
    ];
    for (const key of keys) {
      await client.query(
        `INSERT INTO api_keys (id, tenant_id, org_unit_id, label, prefix, hash, scopes, roles, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now()) ON CONFLICT DO NOTHING`,
        [
          derivedId(input.instance, key.name),
          key.tenant,
          key.unit,
          `local ${key.name}`,
          apiKeyPrefix(key.secret),
          hashApiKey(key.secret),
          key.scopes,
          key.roles,
        ],
      );
    }
    await client.query('COMMIT');
  } finally {
    await client.end();
  }
  return tenant as TenantId;
}

export interface LicenceInput {
  readonly apiUrl: string;
  readonly operatorKey: string;
  readonly instance: string;
  readonly tenant: TenantId;
  /** Private JWK of the local issuer. */
  readonly issuerKeyFile: string;
}

/**
 * Imports the local tenant's licence over the API, as an operator would: perpetual, a billion proofs. The same file at
 * each start (Ed25519 signatures are deterministic), so a repeat changes nothing. Throws when it is refused.
 */
export async function importLocalLicence(input: LicenceInput): Promise<void> {
  const grant: BaseGrant = {
    type: GRANT_TYPE,
    kind: 'BASE',
    grantId: `local-${derivedId(input.instance, 'grant')}`,
    seq: 1,
    tenant: input.tenant,
    instanceFingerprint: instanceFingerprint(input.instance),
    term: { type: 'PERPETUAL', anchorDate: '2026-01-01', timeZone: 'UTC' },
    quota: QUOTA,
    allocations: [],
    entitlements: [],
    notBefore: '2026-01-01T00:00:00Z',
  };
  const body = await issueGrant(grant, parseIssuerKey(await readFile(input.issuerKeyFile, 'utf8')));
  const deadline = Date.now() + IMPORT_WITHIN_MS;
  for (;;) {
    const reply = await fetch(`${input.apiUrl}/v1/admin/licenses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${input.operatorKey}`, 'content-type': 'application/jose' },
      body,
      signal: AbortSignal.timeout(10_000),
    });
    const answer = await reply.text();
    if (reply.status === 200) return;
    const isUnderWay = reply.status === 202 || reply.status === 503 || reply.status === 429;
    if (!isUnderWay || Date.now() > deadline) {
      throw new Error(`the local licence was not imported: ${reply.status} ${answer.slice(0, 500)}`);
    }
    await delay(200);
  }
}

/** A version 4 shaped id that is a function of the instance and a name. */
function derivedId(instance: string, name: string): string {
  const hash = createHash('sha256').update(`proofline/local/${instance}/${name}`).digest().subarray(0, 16);
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x40, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
