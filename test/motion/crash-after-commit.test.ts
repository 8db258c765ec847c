import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Db } from '../../store/pool.ts';
import { HOLD_MS } from '../../workers/form-batches.ts';
import type { TestClient } from '../e2e/client.ts';
import { until } from '../support/until.ts';
import { type CrashingDb, changes } from './crashing-db.ts';
import { type CrashingSystem, startCrashingSystem } from './crashing-system.ts';

const PROOFS = 3;

let system: CrashingSystem;
let client: TestClient;
let owner: Db;
let workerSide: CrashingDb;
let relaySide: CrashingDb;

beforeAll(async () => {
  system = await startCrashingSystem();
  ({ client, owner, workerSide, relaySide } = system);
}, 120_000);
afterAll(() => system?.stop(), 60_000);

const MAX_TRIES = 4;
const WITHIN_MS = 20_000;
/** Submissions follow each other like this where batches are to take joiners. */
const CLOSE_MS = 60;
const CLOSED = "SELECT FROM batches b JOIN submissions s ON s.batch_id = b.id WHERE s.id = $1 AND b.state = 'CLOSED'";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const submit = async (): Promise<string> => (await client.submitMany(PROOFS, '?anchorPolicy=REQUIRED')).id;

/**
 * Submits, lets the process die of that commit and begin anew; all ends well nevertheless. A batch formed soon after
 * another stays open to joiners, and its evidence may be complete before it is shut: then nobody owes it a wake, and one
 * that is formed after a rest is tried.
 */
async function expectToOutlive(side: CrashingDb, isFatal: (tables: readonly string[]) => boolean): Promise<void> {
  side.arm(isFatal);
  let id = '';
  for (let tries = 0; tries < MAX_TRIES && !side.isDead(); tries++) {
    if (tries > 0) await pause(HOLD_MS);
    id = await submit();
    await until(
      async () => side.isDead() || ((await owner.query(CLOSED, [id])).rowCount ?? 0) > 0,
      (isOver) => isOver,
      WITHIN_MS,
    );
  }
  await expectWell(side, [id]);
}

/** The same under load, in which batches stay open and take joiners: submits until the process has died of that commit. */
async function expectToOutliveUnderLoad(
  side: CrashingDb,
  isFatal: (tables: readonly string[]) => boolean,
): Promise<void> {
  side.arm(isFatal);
  const ids: string[] = [];
  for (const deadline = Date.now() + WITHIN_MS; !side.isDead() && Date.now() < deadline; await pause(CLOSE_MS))
    ids.push(await submit());
  await expectWell(side, ids);
}

async function expectWell(side: CrashingDb, ids: readonly string[]): Promise<void> {
  if (!side.isDead()) throw new Error('it did not die: there is no such commit');
  side.revive();
  for (const id of ids) expect((await client.untilFinal(id, 40_000)).states).toEqual({ CERTIFIED: PROOFS });
  const { rows } = await owner.query(
    `SELECT count(*)::int AS proofs, count(DISTINCT l.index)::int AS leaves, count(DISTINCT c.number)::int AS certificates, count(DISTINCT k.proof_id)::int AS units
     FROM proofs p JOIN leaves l ON l.proof_id = p.id JOIN certificates c ON c.proof_id = p.id AND c.signature IS NOT NULL JOIN licence_consumptions k ON k.proof_id = p.id
     WHERE p.submission_id = ANY ($1::uuid[])`,
    [ids],
  );
  const proofs = PROOFS * ids.length;
  expect(rows[0]).toEqual({ proofs, leaves: proofs, certificates: proofs, units: proofs });
}

/** These changes and no others, in their order. */
const exactly =
  (...wanted: readonly string[]) =>
  (tables: readonly string[]): boolean =>
    tables.join() === wanted.join();
/** Of a batch that is sealed, and then of one that ends: it is armed, and has another state. */
const armsAndMoves = exactly('batches', 'batches');

/** Lets the first `n` pass. */
function past(n: number, isFatal: (tables: readonly string[]) => boolean): (tables: readonly string[]) => boolean {
  let passed = 0;
  return (tables) => isFatal(tables) && ++passed > n;
}

describe('a crash right after the commit', () => {
  it.each([
    ['that freezes statements', changes('seals', '!proofs')],
    ['that keeps seals and queues leaves', changes('seals', 'leaf_queue')],
    ['that says that a batch is sealed', armsAndMoves],
    ['that takes leaves into the tree, its head unsigned', changes('log_head', '!checkpoints')],
    ['that publishes a checkpoint', changes('checkpoints')],
    ['that keeps a token', changes('timestamps')],
    ['that applies a timestamp', changes('timeline', 'log_progress')],
    ['that closes an anchor window', changes('anchors', 'outbox')],
    ['that keeps the signed bytes of an anchor', changes('anchor_attempts')],
    ['that keeps that an anchor was sent', past(1, changes('anchor_attempts'))],
    ['that keeps the receipt of an anchor', past(2, changes('anchor_attempts'))],
    ['that keeps that an anchor stands, and what it covers', changes('anchors', 'log_progress', '!timeline')],
    ['that applies an anchor and owes the wake', changes('log_progress', 'timeline', 'outbox')],
    ['that queues proofs for their licence', changes('licence_queue', '!licence_consumptions')],
    ['that consumes units and drafts certificates', changes('licence_consumptions')],
    ['that keeps certificates', changes('certificates', 'proofs')],
    ['that closes the batch', past(1, armsAndMoves)],
  ])('%s loses nothing and does nothing twice', (_what, isFatal) => expectToOutlive(workerSide, isFatal), 90_000);

  it.each([
    ['that takes joiners into a batch, their statements frozen', changes('submission_queue', 'seals')],
    ['that shuts a batch to joiners', exactly('batches')],
  ])(
    '%s loses nothing and does nothing twice',
    (_what, isFatal) => expectToOutliveUnderLoad(workerSide, isFatal),
    90_000,
  );

  it.each([
    ['that forms a batch and owes its start', changes('submission_queue', 'batches')],
    ['that strikes out what was delivered', changes('outbox', '!batches')],
  ])('%s loses nothing and does nothing twice', (_what, isFatal) => expectToOutlive(relaySide, isFatal), 90_000);

  it('leaves nothing open behind', async () => {
    const OPEN =
      "SELECT (SELECT count(*)::int FROM batches WHERE state <> 'CLOSED') + (SELECT count(*)::int FROM outbox) + (SELECT count(*)::int FROM batch_wakes) + (SELECT count(*)::int FROM anchors WHERE state <> 'VERIFIED') AS n";
    const open = async () => (await owner.query<{ n: number }>(OPEN)).rows[0]?.n;
    await until(open, (n) => n === 0, 30_000);
  }, 60_000);
});
