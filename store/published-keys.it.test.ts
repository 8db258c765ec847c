import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import type { Db } from './pool.ts';
import { type KeyToPublish, publishKeys } from './published-keys.ts';
import { readPublishedKeys } from './trust.read.ts';

const NOW = '2026-01-31T08:00:00.000000Z';
const LATER = '2026-01-31T09:00:00.000000Z';
const ROOT = Buffer.alloc(32);

let test: TestDatabase;
let db: Db;

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
});
afterAll(() => test.drop());
beforeEach(async () => {
  await test
    .pool('proofline_owner')
    .query('TRUNCATE published_keys, checkpoints, log_head, evidence_renewals, outbox CASCADE');
});

type Version = KeyToPublish['versions'][number];

const version = (n: number, more: Partial<Version> = {}): Version => ({
  version: n,
  state: 'active',
  alg: 'EdDSA',
  jwk: { kty: 'OKP', crv: 'Ed25519', x: `key-${n}` },
  chain: ['PEM'],
  validFrom: NOW,
  ...more,
});
const key = (...versions: Version[]): KeyToPublish => ({ kid: 'log', purpose: 'log-checkpoint', versions });
const addCheckpoint = (size: bigint, at: string) =>
  db.query("INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ('o', $1, $2, 'n', $3)", [
    size.toString(),
    ROOT,
    at,
  ]);
const setHead = (size: bigint) =>
  db.query(
    "INSERT INTO log_head (origin, size, root, updated_at) VALUES ('o', $1, $2, $3) ON CONFLICT (origin) DO UPDATE SET size = $1",
    [size.toString(), ROOT, NOW],
  );

describe('published keys', () => {
  it('are read as they were published, by two publishers at once too', async () => {
    const keys = [
      key(version(1), version(2, { validFrom: LATER, validTo: '2026-02-01T08:00:00Z', state: 'pre-active' })),
    ];
    await Promise.all([publishKeys(db, keys, NOW), publishKeys(db, keys, NOW)]);
    expect(await readPublishedKeys(db)).toEqual([
      {
        key: {
          kid: 'log',
          version: 1,
          purpose: 'log-checkpoint',
          alg: 'EdDSA',
          jwk: version(1).jwk,
          validFrom: NOW,
          state: 'active',
        },
        fromSize: 0n,
        toSize: null,
      },
      expect.objectContaining({
        key: expect.objectContaining({
          version: 2,
          state: 'pre-active',
          validFrom: LATER,
          validTo: '2026-02-01T08:00:00.000000Z',
        }),
      }),
    ]);
  });

  it('refuse another key under a version that is published, and leave everything as it was', async () => {
    await publishKeys(db, [key(version(1))], NOW);
    const swapped = [key(version(1, { jwk: { kty: 'OKP', crv: 'Ed25519', x: 'other' } }), version(2))];
    await expect(publishKeys(db, swapped, LATER)).rejects.toEqual(
      expect.objectContaining({ code: 'SIGNER_BAD_SIGNATURE' }),
    );
    expect((await readPublishedKeys(db)).map(({ key: k }) => [k.version, k.jwk.x])).toEqual([[1, 'key-1']]);
  });

  it('narrow a window and keep a compromise, whatever the signer says later', async () => {
    await publishKeys(db, [key(version(1, { validTo: LATER, state: 'compromised', compromisedAt: NOW }))], NOW);
    await publishKeys(db, [key(version(1))], LATER);
    const [stored] = await readPublishedKeys(db);
    expect(stored?.key).toEqual(expect.objectContaining({ state: 'compromised', compromisedAt: NOW, validTo: LATER }));
  });

  it('give a new log key the sizes from the last checkpoint before it, and an old one those up to the head', async () => {
    await publishKeys(db, [key(version(1))], NOW);
    await addCheckpoint(10n, NOW);
    await addCheckpoint(20n, '2026-01-31T08:30:00.000000Z');
    await addCheckpoint(30n, LATER);
    await setHead(35n);
    const both = (state: string) => [key(version(1, { state, validTo: LATER }), version(2, { validFrom: LATER }))];
    await publishKeys(db, both('active'), LATER);
    expect((await readPublishedKeys(db)).map((k) => [k.fromSize, k.toSize])).toEqual([
      [0n, null],
      [20n, null],
    ]);
    await publishKeys(db, both('verify-only'), LATER);
    await setHead(50n);
    await publishKeys(db, both('verify-only'), LATER);
    expect((await readPublishedKeys(db)).map((k) => [k.fromSize, k.toSize])).toEqual([
      [0n, 35n],
      [20n, null],
    ]);
  });

  describe('of a version marked compromised', () => {
    const sealKey = (more: Partial<Version>, purpose = 'seal'): KeyToPublish => ({
      kid: 'seal',
      purpose,
      versions: [version(1, more), version(2)],
    });
    const at = (compromisedAt: string) => ({ state: 'compromised', compromisedAt });
    const renewals = async () =>
      (
        await db.query<{ reason: string; subject: string; motion: number }>(
          `SELECT r.reason, r.subject, (SELECT count(*)::int FROM outbox o WHERE o.name = 'renewEvidence' AND o.payload ->> 'request' = r.id::text) AS motion
           FROM evidence_renewals r ORDER BY r.id`,
        )
      ).rows;
    const asked = { reason: 'KEY_COMPROMISED', subject: 'seal@1', motion: 1 };

    it('start the renewal of evidence once, by two publishers at once too', async () => {
      await publishKeys(db, [sealKey({})], NOW);
      expect(await renewals()).toEqual([]);
      await Promise.all([1, 2].map(() => publishKeys(db, [sealKey(at(NOW))], LATER)));
      await publishKeys(db, [sealKey(at(NOW))], LATER);
      expect(await renewals()).toEqual([asked]);
    });

    it('start it again when the compromise turns out to be older, and not when it is said to be younger', async () => {
      await publishKeys(db, [sealKey(at(LATER))], LATER);
      await db.query('UPDATE evidence_renewals SET completed_at = $1, renewed = 0', [LATER]);
      await publishKeys(db, [sealKey(at('2026-01-31T10:00:00.000000Z'))], LATER);
      expect(await renewals()).toEqual([asked]);
      await publishKeys(db, [sealKey(at(NOW))], LATER);
      expect(await renewals()).toEqual([asked, asked]);
    });

    it('do not start it for a key whose signatures are no evidence, or one that is only suspended', async () => {
      await publishKeys(db, [sealKey(at(NOW), 'tx-hedera')], NOW);
      await publishKeys(db, [{ ...key(version(1, { state: 'suspended' })), kid: 'other' }], NOW);
      expect(await renewals()).toEqual([]);
    });
  });

  it('leave out secrets, which have no public half', async () => {
    const { jwk: _, ...secret } = version(1);
    await publishKeys(db, [key(version(1)), { kid: 'mac', purpose: 'hmac', versions: [secret] }], NOW);
    const { rows } = await db.query('SELECT kid FROM published_keys');
    expect(rows).toEqual([{ kid: 'log' }]);
  });
});
