import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ProofId, SubmissionId } from '../domain/ids.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { type AcceptOutcome, type Acceptor, type AcceptProof, type AcceptRequest, createAcceptor } from './accept.ts';
import { createPool, type Queryable } from './pool.ts';

let database: TestDatabase;
let tenant: SeededTenant;
let acceptor: Acceptor;
let groups: { requests: number; proofs: number }[] = [];
const onGroup = (requests: number, proofs: number): void => void groups.push({ requests, proofs });

beforeAll(async () => {
  database = await createTestDatabase();
  tenant = await seedTenant(database.pool('proofline_worker'));
});
afterAll(() => database.drop());
beforeEach(() => {
  groups = [];
  acceptor = createAcceptor({ intake: database.pool('proofline_intake'), onGroup });
});

function requestOf(proofs = 1, change: Partial<AcceptRequest> = {}): AcceptRequest {
  return {
    submission: randomUUID() as string as SubmissionId,
    tenant: tenant.tenantId,
    unit: tenant.orgUnitId,
    key: tenant.apiKeyId,
    route: 'POST /v1/proofs',
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
    ...change,
  };
}

const storedProofs = async ({ submission }: AcceptRequest): Promise<number> =>
  Number(
    (
      await database
        .pool('proofline_worker')
        .query('SELECT count(*) AS n FROM proofs WHERE submission_id = $1', [submission])
    ).rows[0].n,
  );

describe('large submissions', () => {
  it('cost no more for having been preceded by a few small ones in the same session', async () => {
    // A statement that is planned for few proofs and reads what it writes would take minutes.
    const url = database.url('proofline_intake');
    const session = createPool({ url, max: 1, applicationName: 'test', statementTimeoutMs: 10_000, onError: () => {} });
    const one = createAcceptor({ intake: session });
    let second = 10;
    const distinct = (count: number) => {
      const request = requestOf(count, { receivedAt: `2026-01-31T10:00:${second++}.000000Z` });
      return { ...request, proofs: request.proofs.map((p) => ({ ...p, digest: randomBytes(32).toString('hex') })) };
    };
    for (let i = 0; i < 12; i++) await one.accept(distinct(1));
    for (let i = 0; i < 3; i++) {
      const large = distinct(10_000);
      expect(await one.accept(large)).toMatchObject({ outcome: 'accepted' });
      expect(await storedProofs(large)).toBe(10_000);
    }
    await session.end();
  });
});

describe('requests that arrive while an insert is under way', () => {
  it('share the next one, up to its bounds', async () => {
    const bounded = createAcceptor({
      intake: database.pool('proofline_intake'),
      maxRequests: 4,
      maxProofs: 10,
      onGroup,
    });
    const requests = [1, 1, 1, 1, 1, 1, 8, 8, 11, 1].map((proofs) => requestOf(proofs));
    expect(await Promise.all(requests.map((request) => bounded.accept(request)))).toMatchObject(
      Array(10).fill({ outcome: 'accepted' }),
    );
    expect(groups).toEqual([
      { requests: 1, proofs: 1 },
      { requests: 4, proofs: 4 },
      { requests: 2, proofs: 9 },
      { requests: 1, proofs: 8 },
      { requests: 1, proofs: 11 },
      { requests: 1, proofs: 1 },
    ]);
  });

  it('wait behind none of many proofs', async () => {
    const intake = database.pool('proofline_intake');
    const { promise: until, resolve: goOn } = Promise.withResolvers<void>();
    const slow = createAcceptor({
      // Whatever has many proofs goes once we say so.
      intake: {
        async query(query: { values: unknown[] }) {
          if (String(query.values[0]).length > 10_000) await until;
          return intake.query(query as never);
        },
      } as unknown as Queryable,
      onGroup,
    });
    const many = [slow.accept(requestOf(100)), slow.accept(requestOf(100))];
    expect(await slow.accept(requestOf(1))).toMatchObject({ outcome: 'accepted' });
    goOn();
    expect(await Promise.all(many)).toMatchObject(Array(2).fill({ outcome: 'accepted' }));
  });

  it('are repeated one by one when the group fails, so that only the faulty one gets an error', async () => {
    const bad = requestOf(1, {
      proofs: [{ id: randomUUID() as string as ProofId, ordinal: 0, alg: 'sha-256', digest: 'no hex' }],
    });
    const requests = [requestOf(), requestOf(), bad, requestOf()];
    const outcomes = await Promise.allSettled(requests.map((request) => acceptor.accept(request)));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(await Promise.all(requests.map(storedProofs))).toEqual([1, 1, 0, 1]);
  });

  it('of twins one is accepted and the other a duplicate, with one set of proofs', async () => {
    const twins = [1, 2, 3].map(() => requestOf(2, { idempotencyKey: 'twin' }));
    const outcomes = await Promise.all([requestOf(), ...twins].map((request) => acceptor.accept(request)));
    expect(outcomes.filter(({ outcome }) => outcome === 'duplicate')).toHaveLength(2);
    expect((await Promise.all(twins.map(storedProofs))).sort()).toEqual([0, 0, 2]);
  });

  it('with a key of another tenant, another unit, or without the scope is refused for itself alone', async () => {
    const other = await seedTenant(database.pool('proofline_worker'));
    const reader = await seedTenant(database.pool('proofline_worker'), { scopes: ['proofs:read'] });
    const outcomes = await Promise.allSettled(
      [
        requestOf(1, { key: other.apiKeyId }),
        requestOf(1, { unit: other.orgUnitId }),
        requestOf(1, { tenant: reader.tenantId, unit: reader.orgUnitId, key: reader.apiKeyId }),
        requestOf(),
      ].map((request) => acceptor.accept(request)),
    );
    const codeOf = (settled: PromiseSettledResult<AcceptOutcome>): unknown =>
      settled.status === 'fulfilled' ? settled.value.outcome : settled.reason.code;
    expect(outcomes.map(codeOf)).toEqual(['UNAUTHENTICATED', 'UNAUTHENTICATED', 'UNAUTHENTICATED', 'accepted']);
  });
});

describe('a digest that the tenant has submitted before', () => {
  it('is answered with its newest ten earlier proofs, of this tenant alone and not of the same moment', async () => {
    const other = await seedTenant(database.pool('proofline_worker'));
    const digest = randomBytes(32).toString('hex');
    const proof = (ordinal = 0): AcceptProof => ({
      id: randomUUID() as string as ProofId,
      ordinal,
      alg: 'sha-256',
      digest,
    });
    const at = (second: number): string => `2026-01-31T09:00:${`${second}`.padStart(2, '0')}.000000Z`;
    const earlier: ProofId[] = [];
    for (let second = 0; second < 12; second++) {
      const request = requestOf(1, { receivedAt: at(second), proofs: [proof()] });
      await acceptor.accept(request);
      earlier.unshift(request.proofs[0]?.id as ProofId);
    }
    await acceptor.accept(
      requestOf(1, {
        tenant: other.tenantId,
        unit: other.orgUnitId,
        key: other.apiKeyId,
        receivedAt: at(13),
        proofs: [proof()],
      }),
    );
    const fresh = (ordinal: number): AcceptProof => ({ ...proof(ordinal), digest: 'cd'.repeat(32) });
    const answers = await Promise.all([
      acceptor.accept(requestOf(2, { receivedAt: at(20), proofs: [proof(), fresh(1)] })),
      acceptor.accept(requestOf(1, { receivedAt: at(20), proofs: [proof()] })),
      acceptor.accept(requestOf(1, { receivedAt: at(20), proofs: [fresh(0)] })),
    ]);
    const known = new Map([[digest, earlier.slice(0, 10)]]);
    expect(answers).toEqual([
      { outcome: 'accepted', earlier: known },
      { outcome: 'accepted', earlier: known },
      { outcome: 'accepted', earlier: new Map() },
    ]);
  });
});

describe('a lost connection', () => {
  it('fails its group as unavailable without repeating it, and the next group goes on', async () => {
    let calls = 0;
    const pool = database.pool('proofline_intake');
    // The first insert is lost on its way back: the server has done it.
    const lossy = {
      query: async (...input: unknown[]) => {
        calls++;
        const result = await (pool.query as (...args: unknown[]) => Promise<unknown>)(...input);
        if (calls === 1) throw new Error('Connection terminated unexpectedly');
        return result;
      },
    } as unknown as Queryable;
    const unlucky = createAcceptor({ intake: lossy });
    const request = requestOf(1, { idempotencyKey: 'lost' });
    await expect(unlucky.accept(request)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(calls).toBe(1);
    // The client repeats under its key and learns that it was accepted.
    expect(await unlucky.accept(requestOf(1, { idempotencyKey: 'lost' }))).toEqual({ outcome: 'duplicate' });
    expect(await storedProofs(request)).toBe(1);
  });
});

describe('the intake role', () => {
  it('may execute accept() and touch no table', async () => {
    for (const table of ['proofs', 'submissions', 'tenants', 'api_keys', 'timeline', 'outbox'])
      await expect(database.pool('proofline_intake').query(`SELECT FROM ${table}`)).rejects.toMatchObject({
        code: '42501',
      });
  });
});
