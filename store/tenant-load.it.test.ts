import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ProofId, SubmissionId } from '../domain/ids.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { type Acceptor, type AcceptRequest, createAcceptor } from './accept.ts';
import type { Db } from './pool.ts';

const LIMIT = 10;

let database: TestDatabase;
let worker: Db;
let tenant: SeededTenant;
let acceptor: Acceptor;

beforeAll(async () => {
  database = await createTestDatabase();
  worker = database.pool('proofline_worker');
});
afterAll(() => database.drop());
beforeEach(async () => {
  tenant = await limited();
  acceptor = createAcceptor({ intake: database.pool('proofline_intake') });
});

async function limited(): Promise<SeededTenant> {
  const seeded = await seedTenant(worker);
  await worker.query('UPDATE tenants SET max_pending = $2 WHERE id = $1', [seeded.tenantId, LIMIT]);
  return seeded;
}

function requestOf(proofs: number, { of = tenant, key }: { of?: SeededTenant; key?: string } = {}): AcceptRequest {
  return {
    submission: randomUUID() as string as SubmissionId,
    tenant: of.tenantId,
    unit: of.orgUnitId,
    key: of.apiKeyId,
    route: 'POST /v1/submissions',
    ...(key !== undefined && { idempotencyKey: key }),
    bodyHash: '00'.repeat(32),
    anchorPolicy: 'NONE',
    anchorWindow: 'express',
    receivedAt: '2026-01-31T08:00:00.000000Z',
    proofs: Array.from({ length: proofs }, (_, ordinal) => ({
      id: randomUUID() as string as ProofId,
      ordinal,
      alg: 'sha-256',
      digest: 'ab'.repeat(32),
    })),
  };
}

const outcomeOf = (request: AcceptRequest): Promise<string> =>
  acceptor.accept(request).then(
    ({ outcome }) => outcome,
    (error: { code: string }) => error.code,
  );

async function pending(): Promise<number> {
  const { rows } = await worker.query(
    'SELECT coalesce(sum(pending), 0)::int AS n FROM tenant_load WHERE tenant_id = $1',
    [tenant.tenantId],
  );
  return rows[0].n;
}

const move = (state: string, limit = 1_000) =>
  worker.query(
    'UPDATE proofs SET state = $2 WHERE id IN (SELECT id FROM proofs WHERE tenant_id = $1 ORDER BY id LIMIT $3)',
    [tenant.tenantId, state, limit],
  );

describe('a tenant with as many proofs under way as it may have', () => {
  it('is refused the next one until some have come to their end', async () => {
    expect(await outcomeOf(requestOf(LIMIT))).toBe('accepted');
    expect(await outcomeOf(requestOf(1))).toBe('TOO_MANY_PENDING');
    await move('SEALED');
    expect(await outcomeOf(requestOf(1))).toBe('TOO_MANY_PENDING');
    await move('CERTIFIED', 3);
    expect(await outcomeOf(requestOf(4))).toBe('TOO_MANY_PENDING');
    expect(await outcomeOf(requestOf(3))).toBe('accepted');
    expect(await pending()).toBe(LIMIT);
  });

  it('still gets the answer to what was accepted before', async () => {
    expect(await outcomeOf(requestOf(LIMIT, { key: 'once' }))).toBe('accepted');
    expect(await outcomeOf(requestOf(LIMIT, { key: 'once' }))).toBe('duplicate');
    expect(await pending()).toBe(LIMIT);
  });

  it('harms nobody else in the same group, and is served as far as there is room', async () => {
    const other = await limited();
    const requests = [requestOf(6), requestOf(6, { of: other }), requestOf(6), requestOf(4, { of: other })];
    expect(await outcomeOf(requestOf(1))).toBe('accepted');
    expect(await Promise.all(requests.map(outcomeOf))).toEqual([
      'accepted',
      'accepted',
      'TOO_MANY_PENDING',
      'accepted',
    ]);
  });

  describe('in a group of requests', () => {
    /** The outcomes of these as one group: they arrive while another tenant's insert is under way. */
    const groupOf = async (...requests: readonly AcceptRequest[]): Promise<readonly string[]> => {
      const other = await limited();
      return (await Promise.all([requestOf(1, { of: other }), ...requests].map(outcomeOf))).slice(1);
    };

    it('is not refused what there is room for because something accepted before was sent again', async () => {
      expect(await outcomeOf(requestOf(9, { key: 'nine' }))).toBe('accepted');
      expect(await groupOf(requestOf(9, { key: 'nine' }), requestOf(1))).toEqual(['duplicate', 'accepted']);
      expect(await pending()).toBe(LIMIT);
    });

    it('is not refused what there is room for because more was asked before it', async () => {
      expect(await outcomeOf(requestOf(6))).toBe('accepted');
      const group = [5, 3, 2, 1, 1].map((proofs) => requestOf(proofs));
      expect(await groupOf(...group)).toEqual([
        'TOO_MANY_PENDING',
        'accepted',
        'TOO_MANY_PENDING',
        'accepted',
        'TOO_MANY_PENDING',
      ]);
      expect(await pending()).toBe(LIMIT);
    });

    it('is not refused what there is room for because of requests in its name with a foreign key', async () => {
      const other = await limited();
      const foreign = { ...requestOf(LIMIT), key: other.apiKeyId };
      expect(await groupOf(foreign, requestOf(1))).toEqual(['UNAUTHENTICATED', 'accepted']);
    });

    it('takes room once for twins that share a key', async () => {
      const [first, second] = [requestOf(LIMIT, { key: 'twin' }), requestOf(LIMIT, { key: 'twin' })];
      expect(await groupOf(first, second, requestOf(1))).toEqual(['accepted', 'duplicate', 'TOO_MANY_PENDING']);
    });
  });
});

describe('the count of what is under way', () => {
  it('goes down at every end and up again at a retry', async () => {
    await outcomeOf(requestOf(5));
    await move('FAILED', 2);
    expect(await pending()).toBe(3);
    await move('SEALED', 1);
    expect(await pending()).toBe(4);
    for (const state of ['CANCELLED', 'REJECTED', 'CERTIFIED_NO_ANCHOR']) {
      await move(state);
      expect(await pending()).toBe(0);
    }
  });

  it('is exact however many sessions count at once', async () => {
    await worker.query('UPDATE tenants SET max_pending = 1000000 WHERE id = $1', [tenant.tenantId]);
    const acceptors = Array.from({ length: 4 }, () => createAcceptor({ intake: database.pool('proofline_intake') }));
    const requests = Array.from({ length: 80 }, (_, n) => requestOf(1 + (n % 5)));
    await Promise.all(requests.map((request, n) => acceptors[n % 4]?.accept(request)));
    await Promise.all(
      requests.map(({ submission }, n) =>
        worker.query('UPDATE proofs SET state = $2 WHERE submission_id = $1', [
          submission,
          n % 2 === 0 ? 'CERTIFIED' : 'TIMESTAMPED',
        ]),
      ),
    );
    const { rows } = await worker.query(
      "SELECT count(*)::int AS n FROM proofs WHERE tenant_id = $1 AND state = 'TIMESTAMPED'",
      [tenant.tenantId],
    );
    expect(await pending()).toBe(rows[0].n);
  });
});
