import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { canonicalBytes, type Json } from '../domain/canonical-json.ts';
import { appendAudit } from '../store/audit.ts';
import { inTransaction } from '../store/pool.ts';
import { type SeededTenant, seedOperatorKey, seedTenant } from '../test/support/seed.ts';
import { type Call, clientOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

const ENTRIES = 25;

interface Entry {
  readonly id: string;
  readonly tenant: string | null;
  readonly action: string;
  readonly previousHash: string;
  readonly hash: string;
  readonly [key: string]: Json;
}

let server: TestServer;
let [own, other]: SeededTenant[] = [];
let auditor: Call;
let admin: Call;

beforeAll(async () => {
  server = await startTestServer();
  const worker = server.database.pool('proofline_worker');
  own = await seedTenant(worker, { scopes: ['audit:read'] });
  other = await seedTenant(worker);
  const tenants = [own.tenantId, other.tenantId, undefined];
  for (let i = 0; i < ENTRIES; i++) {
    const tenantId = tenants[i % 3];
    await inTransaction(worker, (tx) =>
      appendAudit(tx, {
        at: `2026-03-${String(i + 1).padStart(2, '0')}T00:00:00.000001Z`,
        actor: `key:${i % 2}`,
        action: i % 5 === 0 ? 'licence.imported' : 'org.unit_moved',
        subject: `subject ${i}`,
        ...(tenantId && { tenantId }),
        detail: { number: i, reason: 'für einen Test' },
      }),
    );
  }
  auditor = clientOf(server.url, await seedOperatorKey(worker, ['AUDITOR']));
  admin = clientOf(server.url, own.apiKey);
});
afterAll(() => server.stop());

async function readAll(read: Call, query: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const at: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const { status, body } = await read('GET', `/v1/admin/audit?limit=4${query}${at}`);
    expect(status).toBe(200);
    entries.push(...body.data);
    cursor = body.next;
  }
  return entries;
}

const hashOf = ({ id: _, hash: __, previousHash, ...entry }: Entry): string =>
  createHash('sha256').update(Buffer.from(previousHash, 'hex')).update(canonicalBytes(entry)).digest('hex');
const numbers = (entries: readonly Entry[]): number[] => entries.map(({ subject }) => Number(`${subject}`.slice(8)));

describe('the audit trail', () => {
  it('is read by an operator page by page, newest first, as a chain that the reader can check', async () => {
    const trail = await readAll(auditor, '');
    expect(numbers(trail)).toEqual(Array.from({ length: ENTRIES }, (_, i) => ENTRIES - 1 - i));
    for (const [i, entry] of trail.entries()) {
      expect(entry.previousHash).toBe(trail[i + 1]?.hash ?? '00'.repeat(32));
      expect(entry.hash).toBe(hashOf(entry));
    }
  });

  it.each([
    ['actor', 'actor=key%3A1', (i: number) => i % 2 === 1],
    ['action', 'action=licence.imported', (i: number) => i % 5 === 0],
    ['subject', 'subject=subject%207', (i: number) => i === 7],
    ['time', 'from=2026-03-03T00%3A00%3A00.000001Z&to=2026-03-06T00%3A00%3A00.000001Z', (i: number) => i >= 2 && i < 5],
    ['action and actor', 'action=licence.imported&actor=key%3A0', (i: number) => i % 10 === 0],
  ])('is filtered by %s', async (_, query, keeps) => {
    const wanted = Array.from({ length: ENTRIES }, (_, i) => i).filter(keeps);
    expect(numbers(await readAll(auditor, `&${query}`))).toEqual(wanted.reverse());
  });

  it("shows a tenant the entries about itself alone, and an operator a tenant's by its id", async () => {
    const mine = await readAll(admin, '');
    expect(numbers(mine)).toEqual(numbers(await readAll(auditor, `&tenant_id=${own?.tenantId}`)));
    expect(mine).toHaveLength(9);
    expect(mine.every((entry) => entry.tenant === own?.tenantId && entry.hash === hashOf(entry))).toBe(true);
    expect(await readAll(admin, '&actor=key%3A1&action=nothing')).toEqual([]);
    expect((await admin('GET', `/v1/admin/audit?tenant_id=${other?.tenantId}`)).body.code).toBe('NOT_FOUND');
  });

  it('is closed to keys without the scope, to operators without the role and to nobody at all', async () => {
    const billing = await seedOperatorKey(server.database.pool('proofline_worker'), ['BILLING_OPERATOR']);
    const asked = [other?.apiKey, billing].map((key) => clientOf(server.url, key)('GET', '/v1/admin/audit'));
    for (const { body } of await Promise.all(asked)) expect(body.code).toBe('FORBIDDEN');
    expect((await clientOf(server.url)('GET', '/v1/admin/audit')).body.code).toBe('UNAUTHENTICATED');
    const api = server.database.pool('proofline_api');
    await expect(api.query('SELECT FROM audit')).rejects.toThrow('permission denied');
  });

  it.each([
    ['a cursor of another list', 'cursor=MSBvcmctdW5pdHMgMSAy', 'CURSOR_MALFORMED'],
    ['a day that there is not', 'from=2026-02-30T00%3A00%3A00.000000Z', 'REQUEST_INVALID'],
    ['more than a page holds', 'limit=501', 'REQUEST_INVALID'],
  ])('refuses %s', async (_, query, code) => {
    expect((await auditor('GET', `/v1/admin/audit?${query}`)).body.code).toBe(code);
  });
});
