/** Each verb against each step of a batch, decided by the lock in either order: what the race tests leave to chance. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { CommandVerb } from '../domain/commands.ts';
import type { BatchId, ProofId } from '../domain/ids.ts';
import type { AnchorPolicy, ProofState } from '../domain/states.ts';
import { acceptProofs } from '../test/support/accepted.ts';
import { type BatchLife, createBatchLife, LIFE_ORIGIN } from '../test/support/batch-life.ts';
import { checkLives } from '../test/support/check-lives.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { inOrder, type Meeting } from '../test/support/in-order.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { readCommands } from './command-requests.ts';
import type { Db } from './pool.ts';
import { readUnsealed, storeSeals } from './seals.ts';

/** Before the clock of a life. */
const PASSED = '2026-01-31T08:30:00.000000Z';
const PROOFS = 4;

let test: TestDatabase;
let owner: Db;
let life: BatchLife;
let tenant: SeededTenant;

beforeAll(async () => {
  test = await createTestDatabase();
  owner = test.pool('proofline_owner');
  life = createBatchLife(test);
});
afterAll(() => test.drop());
beforeEach(async () => {
  await life.reset();
  tenant = await seedTenant(owner);
  await life.grant(tenant.tenantId, 1_000_000);
});

interface Scene {
  readonly batch: BatchId;
  /** Those whom the verb names: half of the batch. */
  readonly ids: readonly ProofId[];
}

interface Race {
  readonly policy: AnchorPolicy;
  /** Brings the batch to where both may happen; gives the step. */
  readonly prepare: (scene: Scene) => Promise<() => Promise<unknown>>;
  /** Where the two meet. */
  readonly meet: (scene: Scene) => Meeting;
  /** What the step says of those whom it moved, under the lock. */
  readonly says?: ProofState;
}

/** What came of a command: its outcome, and the life of each proof that it named. */
interface Outcome {
  readonly refused?: string;
  readonly steps: readonly string[];
  /** Whoever was retried came to its end in another batch. */
  readonly moved?: true;
}

const atProofs = ({ ids }: Scene): Meeting => ({
  sql: 'SELECT FROM proofs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE',
  values: [ids],
});
const atBatch = ({ batch }: Scene): Meeting => ({
  sql: 'SELECT FROM batches WHERE id = $1 FOR UPDATE',
  values: [batch],
});
const atProgress = (): Meeting => ({
  sql: 'SELECT FROM log_progress WHERE origin = $1 FOR UPDATE',
  values: [LIFE_ORIGIN],
});

async function stampAll(batch: BatchId): Promise<void> {
  await life.seal(batch);
  await life.integrate();
  await life.cover('timestamp');
  await life.advance();
}

async function failAll({ batch, ids }: Scene, stage: string): Promise<void> {
  for (const id of ids) await life.fail(batch, id, stage);
}

const SEAL: Race = {
  policy: 'REQUIRED',
  async prepare({ batch }) {
    await life.freeze(batch);
    return () => life.seal(batch);
  },
  meet: atProofs,
  says: 'SEALED',
};
/** The seals of an attempt that read its statements before the signer refused some to another. */
const LATE_SEAL: Race = {
  policy: 'NONE',
  async prepare(scene) {
    const { batch } = scene;
    await life.freeze(batch);
    const late = await readUnsealed(test.pool('proofline_worker'), batch, 10);
    expect(late).toHaveLength(PROOFS);
    await failAll(scene, 'SEALED');
    const seals = late.map((one) => ({ ...one, signature: randomBytes(64) }));
    return () => storeSeals(test.pool('proofline_worker'), { batch, seals, now: life.now() });
  },
  meet: atBatch,
  says: 'SEALED',
};
const ANCHOR: Race = {
  policy: 'REQUIRED',
  async prepare({ batch }) {
    await stampAll(batch);
    await life.cover('anchor');
    return life.advance;
  },
  meet: atProofs,
  says: 'ANCHORED',
};
const ANCHOR_OF_FAILED: Race = {
  policy: 'REQUIRED',
  async prepare(scene) {
    await stampAll(scene.batch);
    await failAll(scene, 'ANCHORED');
    await life.cover('anchor');
    return life.advance;
  },
  meet: atProgress,
  says: 'ANCHORED',
};
const draft = (policy: AnchorPolicy): Race => ({
  policy,
  async prepare({ batch }) {
    await stampAll(batch);
    expect(await life.queue(batch)).toEqual([tenant.tenantId]);
    return () => life.drain(tenant.tenantId, batch);
  },
  meet: atProofs,
});
const CLOSE: Race = {
  policy: 'NONE',
  async prepare(scene) {
    await stampAll(scene.batch);
    await failAll(scene, 'CERTIFIED');
    return () => life.certify(scene.batch);
  },
  meet: atProgress,
};

const DRAFTED = 'its certificate is drafted, the point of no return; only its signature is missing';
const CERTIFIED = ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', 'CERTIFIED'];
const BARE = ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'CERTIFIED_NO_ANCHOR'];

type Pair = readonly [verb: CommandVerb, step: string, race: Race, verbFirst: Outcome, stepFirst: Outcome];

const ends = (verb: 'cancel' | 'reject', end: string): readonly Pair[] => [
  [verb, 'the seal', SEAL, { steps: ['RECEIVED', end] }, { steps: ['RECEIVED', 'SEALED', end] }],
  [
    verb,
    'the anchor',
    ANCHOR,
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', end] },
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', end] },
  ],
  [
    verb,
    'the draft',
    draft('NONE'),
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', end] },
    { refused: `the proof is TIMESTAMPED: ${DRAFTED}`, steps: BARE },
  ],
];
const PAIRS: readonly Pair[] = [
  ...ends('cancel', 'CANCELLED'),
  ...ends('reject', 'REJECTED'),
  [
    'certify-without-anchor',
    'the seal',
    SEAL,
    { refused: 'the proof is RECEIVED: it has no timestamp yet: ask again once it is TIMESTAMPED', steps: CERTIFIED },
    { refused: 'the proof is SEALED: it has no timestamp yet: ask again once it is TIMESTAMPED', steps: CERTIFIED },
  ],
  [
    'certify-without-anchor',
    'the anchor',
    ANCHOR,
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', '(TIMESTAMPED)', 'ANCHORED', 'CERTIFIED'] },
    { refused: 'the proof is ANCHORED: it is anchored already', steps: CERTIFIED },
  ],
  [
    'certify-without-anchor',
    'the draft',
    draft('PREFERRED'),
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', '(TIMESTAMPED)', 'CERTIFIED_NO_ANCHOR'] },
    { refused: `the proof is TIMESTAMPED: ${DRAFTED}`, steps: BARE },
  ],
  [
    'retry',
    'the seal',
    LATE_SEAL,
    { steps: ['RECEIVED', 'FAILED', ...BARE], moved: true },
    { steps: ['RECEIVED', 'FAILED', ...BARE], moved: true },
  ],
  [
    'retry',
    'the anchor',
    ANCHOR_OF_FAILED,
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'FAILED', 'TIMESTAMPED', 'ANCHORED', 'CERTIFIED'] },
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'FAILED', 'TIMESTAMPED', 'ANCHORED', 'CERTIFIED'] },
  ],
  [
    'retry',
    'the draft of the others and the end of the batch',
    CLOSE,
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'FAILED', 'TIMESTAMPED', 'CERTIFIED_NO_ANCHOR'] },
    { steps: ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'FAILED', 'TIMESTAMPED', 'CERTIFIED_NO_ANCHOR'], moved: true },
  ],
];

describe.each(PAIRS)('%s and %s', (verb, _step, race, verbFirst, stepFirst) => {
  it.each([
    ['the verb', verbFirst],
    ['the step', stepFirst],
  ])('of one moment: %s comes first', async (winner, expected) => {
    const { policy, prepare, meet } = race;
    const { proofIds } = await acceptProofs(test, tenant, PROOFS, {
      anchorPolicy: policy,
      ...(policy === 'PREFERRED' && { anchorDeadline: PASSED }),
    });
    const scene = { batch: await life.formed(), ids: proofIds.slice(0, PROOFS / 2) };
    const step = await prepare(scene);
    const request = await life.request(verb, scene.ids);
    await (winner === 'the verb'
      ? inOrder(owner, meet(scene), life.apply, step)
      : inOrder(owner, meet(scene), step, life.apply));

    const items = (await readCommands(test.pool('proofline_api'), request, undefined))?.items ?? [];
    const { refused, steps } = expected;
    expect(items.map(({ state, detail }) => ({ state, detail }))).toEqual(
      scene.ids.map(() => ({ state: refused === undefined ? 'APPLIED' : 'REFUSED', detail: refused ?? null })),
    );
    if (refused === undefined && race.says !== undefined) expect(await saidFirst(scene.batch, race.says)).toBe(winner);
    await finishAll(policy);
    for (const id of scene.ids) expect(await life.timelineOf(tenant.tenantId, id)).toEqual(steps);
    const { rows } = await owner.query('SELECT FROM proofs WHERE batch_id IS NOT NULL');
    expect(rows).toHaveLength(expected.moved === true ? scene.ids.length : 0);
    await checkLives(test, life, tenant.tenantId, { retried: verb === 'retry' });
  });
});

/** Whose timeline row was written first: both write under the lock at which they met. */
async function saidFirst(batch: BatchId, says: ProofState): Promise<string> {
  const { rows } = await owner.query(
    `SELECT CASE WHEN min(id) FILTER (WHERE detail ? 'command') < min(id) FILTER (WHERE batch_id = $1 AND state = $2) THEN 'the verb' ELSE 'the step' END AS first FROM timeline`,
    [batch, says],
  );
  return rows[0].first;
}

/** Every batch to its end, those of retries too; anchored only where the policy asks for it. */
async function finishAll(policy: AnchorPolicy): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    while ((await life.form()) !== 'nothing');
    const { rows } = await owner.query("SELECT id, state FROM batches WHERE state <> 'CLOSED'");
    if (rows.length === 0) return;
    for (const { id, state } of rows) if (state === 'FORMED') await life.seal(id);
    await life.integrate();
    await life.cover('timestamp');
    if (policy === 'REQUIRED') await life.cover('anchor');
    await life.advance();
    for (const { id } of rows) await life.certify(id);
  }
  throw new Error('a batch does not close');
}
