import { createHash, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { rootOfPath } from '../../domain/evidence-record/hash-tree.ts';
import { writePem } from '../../domain/timestamp/pem.ts';
import { verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import { type RunningTsa, startTsa } from '../../local/tsa/start-tsa.ts';
import { makeTestAuthority, type TestAuthority } from '../../local/tsa/test-authority.ts';
import { formatCheckpointBody } from '../../log/checkpoint.ts';
import { createNoteKey, signNote } from '../../log/note.ts';
import { readChains } from '../../store/archive.ts';
import type { Db } from '../../store/pool.ts';
import { isSerialUnused, readCoveringTimestamp } from '../../store/timestamps.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { until as untilGood } from '../../test/support/until.ts';
import { runStampLoop, type StampLogState, type TimestampingDeps } from './stamp-loop.ts';
import { createTsaPool, type TsaPool } from './tsa-pool.ts';

let database: TestDatabase;
let db: Db;
let authority: TestAuthority;
let tsa: RunningTsa;
let pool: TsaPool;
let origin: string;
let stop: AbortController;
const loops: Promise<void>[] = [];
const bodies = new Map<bigint, string>();

beforeAll(async () => {
  database = await createTestDatabase();
  db = database.pool('proofline_worker');
  authority = await makeTestAuthority();
});
afterAll(() => database.drop());
beforeEach(async () => {
  origin = `test/${randomBytes(6).toString('hex')}`;
  stop = new AbortController();
  tsa = await startTsa(authority.authority);
  pool = createTsaPool({
    tsas: [
      {
        name: 'local',
        url: tsa.url,
        policies: [authority.authority.policy],
        roots: [writePem('CERTIFICATE', authority.root.der)],
        selfOperated: true,
        bucket: { capacity: 1_000, refillMs: 1 },
      },
    ],
    clock: systemClock(),
    random: (length) => new Uint8Array(randomBytes(length)),
    isSerialUnused: (name, serial) => isSerialUnused(db, name, serial),
    timeoutMs: 500,
    breaker: { failures: 1_000, openMs: 1, maxOpenMs: 1 },
  });
});
afterEach(async () => {
  stop.abort();
  await Promise.all(loops.splice(0));
  await pool.close();
  await tsa.stop();
});

const logKey = generateKeyPairSync('ed25519');
const noteKey = () =>
  createNoteKey(origin, new Uint8Array(Buffer.from(logKey.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')));

/** Publishes a signed checkpoint of the size. */
async function publish(size: bigint): Promise<void> {
  const root = new Uint8Array(randomBytes(32));
  const body = formatCheckpointBody({ origin, size, root });
  const signWith = async (message: Uint8Array) => new Uint8Array(sign(null, message, logKey.privateKey));
  const note = await signNote(body, [{ key: noteKey(), sign: signWith }]);
  bodies.set(size, body);
  await db.query('INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2, $3, $4, now())', [
    origin,
    size,
    root,
    note,
  ]);
}

interface Watch {
  readonly states: StampLogState[];
  readonly advanced: bigint[];
}

/** Starts the loop; `advanced` are the covered sizes at each call of advanceEvidence. */
function start(change: Partial<TimestampingDeps> = {}): Watch {
  const watch: Watch = { states: [], advanced: [] };
  const deps: TimestampingDeps = {
    db,
    pool,
    clock: systemClock(),
    windowMs: 50,
    pollMs: 5,
    advanceEvidence: async () => {
      watch.advanced.push(await covered());
      return false;
    },
    ...change,
  };
  loops.push(runStampLoop(deps, { origin }, { signal: stop.signal, heartbeat: (state) => watch.states.push(state) }));
  return watch;
}

async function covered(): Promise<bigint> {
  const { rows } = await db.query<{ timestamped_size: bigint }>(
    'SELECT timestamped_size FROM log_progress WHERE origin = $1',
    [origin],
  );
  return rows[0]?.timestamped_size ?? 0n;
}

async function recorded(): Promise<bigint> {
  const { rows } = await db.query('SELECT recorded_size FROM log_progress WHERE origin = $1', [origin]);
  return rows[0]?.recorded_size ?? 0n;
}

async function leafCount(): Promise<number> {
  const { rows } = await db.query('SELECT count(*)::int AS n FROM leaves');
  return rows[0].n;
}

async function tokens(): Promise<readonly bigint[]> {
  const { rows } = await db.query<{ size: bigint }>('SELECT size FROM timestamps WHERE origin = $1 ORDER BY size', [
    origin,
  ]);
  return rows.map((row) => row.size);
}

const until = (condition: () => boolean | Promise<boolean>): Promise<boolean> =>
  untilGood(condition, (met) => met, 10_000);

describe('the timestamp loop', () => {
  it('stamps the body of the newest checkpoint, stores the token and has the evidence advanced', async () => {
    await publish(3n);
    await publish(8n);
    const { advanced } = start();
    await until(() => advanced.includes(8n));
    expect(await tokens()).toEqual([8n]);
    const stored = await readCoveringTimestamp(db, origin, 0n);
    const imprint = new Uint8Array(
      createHash('sha256')
        .update(bodies.get(8n) ?? '')
        .digest(),
    );
    const verdict = await verifyTimestampToken(stored?.token ?? new Uint8Array(), {
      imprint,
      roots: [authority.root.der],
    });
    expect(verdict).toMatchObject({ ok: true, genTimeMicros: stored?.genTime, serial: stored?.serial });
    expect(stored).toMatchObject({ tsa: 'local', selfOperated: true });
  });

  it('asks nobody while no leaf waits', async () => {
    await publish(4n);
    const { advanced, states } = start();
    await until(() => advanced.includes(4n) && states.at(-1)?.state === 'idle');
    await until(() => states.filter(({ state }) => state === 'idle').length > 0);
    const beats = states.length;
    // The next beats are those of the timer, a second apart.
    await until(() => states.length >= beats + 1);
    expect(tsa.queries()).toBe(1);
  });

  it('sends at most one request per window however many checkpoints come', async () => {
    const windowMs = 200;
    const began = Date.now();
    const { advanced } = start({ windowMs });
    for (let size = 1n; size <= 60n; size++) await publish(size);
    await until(() => advanced.includes(60n));
    expect(tsa.queries()).toBeLessThanOrEqual(Math.floor((Date.now() - began) / windowMs) + 1);
    expect(await covered()).toBe(60n);
  });

  it('makes a checkpoint that completes a prompt batch wait for no window but that of the last which did', async () => {
    const windowMs = 1_000;
    const time = { ms: Date.now(), looks: 0 };
    const clock = {
      ...systemClock(),
      nowMs: () => {
        time.looks++;
        return time.ms;
      },
    };
    const sealBatch = (last: bigint, lane = 'prompt') =>
      db.query(
        `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, state, max_leaf_index, formed_at, lane) VALUES ($1, 'NONE', 'express', 1, 'SEALED', $2, now(), $3)`,
        [randomUUID(), last, lane],
      );
    const looked = async () => {
      const enough = time.looks + 20;
      await until(() => time.looks > enough);
    };
    const { advanced } = start({ windowMs, clock });
    await publish(3n);
    await until(() => advanced.includes(3n));
    await publish(4n);
    await sealBatch(3n, 'crowd');
    await looked();
    expect(await tokens()).toEqual([3n]);
    await publish(5n);
    await sealBatch(4n);
    await until(() => advanced.includes(5n));
    await publish(6n);
    await sealBatch(5n);
    await looked();
    expect(await tokens()).toEqual([3n, 5n]);
    time.ms += windowMs;
    await until(() => advanced.includes(6n));
    expect(await tokens()).toEqual([3n, 5n, 6n]);
    expect(tsa.queries()).toBe(3);
  });

  it('is woken by a ring', async () => {
    const { states, advanced } = start({ pollMs: 600_000 });
    await until(() => states.at(-1)?.state === 'idle');
    await publish(2n);
    await db.query("SELECT pg_notify('proofline_stampable', '')");
    await until(() => advanced.includes(2n));
  });

  it.each([
    ['http-500', 'TSA_UNAVAILABLE', 'local: HTTP 500 text/plain'],
    ['hang', 'TSA_UNAVAILABLE', expect.stringMatching(/^local: no reply within \d+ ms$/)],
    ['truncated-token', 'TSA_BAD_TOKEN', expect.stringContaining('12 MALFORMED')],
  ] as const)('waits through %s, shows it, and covers all that waited with one token', async (kind, code, detail) => {
    tsa.setFault({ kind });
    await publish(2n);
    const { states } = start();
    await until(() => states.some(({ failure }) => (failure?.attempts ?? 0) >= 2));
    expect(states.find(({ state }) => state === 'waiting')?.failure).toMatchObject({ code, detail });
    await publish(5n);
    await publish(9n);
    tsa.setFault(undefined);
    await until(async () => (await covered()) === 9n);
    expect(await tokens()).toEqual([9n]);
    await until(() => states.at(-1)?.failure === undefined);
  });

  it('puts one further token over all statements of a window whose tenants ask, and none where nobody does', async () => {
    const leafOf = (n: number) => new Uint8Array(createHash('sha256').update(`${origin} ${n}`).digest());
    const [asking, other] = [randomUUID(), randomUUID()];
    for (const id of [asking, other])
      await db.query('INSERT INTO tenants (id, name, direct_records, created_at) VALUES ($1, $3, $2, now())', [
        id,
        id === asking,
        'A tenant',
      ]);
    const from = await leafCount();
    for (let n = 0; n < 9; n++)
      await db.query('INSERT INTO leaves (index, leaf, proof_id, batch_id, tenant_id) VALUES ($1, $2, $3, $3, $4)', [
        from + n,
        leafOf(n),
        randomUUID(),
        n % 3 === 0 ? other : asking,
      ]);
    await db.query('INSERT INTO log_progress (origin, timestamped_size, recorded_size) VALUES ($1, $2, $2)', [
      origin,
      from,
    ]);
    await publish(BigInt(from + 9));
    start();
    await until(async () => (await recorded()) === BigInt(from + 9));
    expect(tsa.queries()).toBe(2);
    const keys = Array.from({ length: 9 }, (_, n) => leafOf(n));
    const chains = await readChains(db, keys, { hasFirst: false });
    expect([...chains.keys()].sort()).toEqual(
      keys
        .filter((_, n) => n % 3 !== 0)
        .map((key) => Buffer.from(key).toString('hex'))
        .sort(),
    );
    for (const [leaf, [first]] of chains) {
      const imprint = rootOfPath(new Uint8Array(Buffer.from(leaf, 'hex')), first?.path ?? [], 'SHA-256');
      const verdict = await verifyTimestampToken(first?.token ?? imprint, { imprint, roots: [authority.root.der] });
      expect(verdict.failures).toEqual([]);
    }
    await db.query('UPDATE tenants SET direct_records = false');
    await publish(BigInt(from + 10));
    await until(async () => (await recorded()) === BigInt(from + 10));
    expect(tsa.queries()).toBe(3);
  });

  it('stores nothing that fails verification', async () => {
    tsa.setFault({ kind: 'wrong-imprint' });
    await publish(2n);
    const { states } = start();
    await until(() => states.some(({ failure }) => failure?.code === 'TSA_BAD_TOKEN'));
    expect(await tokens()).toEqual([]);
    tsa.setFault(undefined);
    await until(async () => (await covered()) === 2n);
  });

  it('repeats the advance after one that failed, without another token', async () => {
    await publish(2n);
    let calls = 0;
    start({
      advanceEvidence: async () => {
        calls++;
        if (calls <= 2) throw Object.assign(new Error('the connection was lost'), { code: '57P01' });
        return calls < 6;
      },
    });
    await until(() => calls >= 7);
    expect(tsa.queries()).toBe(1);
  });

  it('advances first when a crash came between token and advance', async () => {
    await publish(6n);
    const first = start();
    await until(() => first.advanced.includes(6n));
    stop.abort();
    await Promise.all(loops.splice(0));
    stop = new AbortController();
    const second = start();
    await until(() => second.advanced.length > 0);
    expect(second.advanced[0]).toBe(6n);
    expect(tsa.queries()).toBe(1);
  });

  it('keeps one token a checkpoint when two loops run at once', async () => {
    const watches = [start(), start(), start()];
    for (let size = 1n; size <= 20n; size++) await publish(size);
    await until(async () => (await covered()) === 20n);
    const sizes = await tokens();
    expect(new Set(sizes).size).toBe(sizes.length);
    expect(watches.flatMap(({ states }) => states).filter(({ failure }) => failure !== undefined)).toEqual([]);
  });

  it('ends at once when aborted, in the middle of a request too', async () => {
    tsa.setFault({ kind: 'hang' });
    await publish(1n);
    start();
    await until(() => tsa.queries() === 1);
    const began = Date.now();
    stop.abort();
    await Promise.all(loops.splice(0));
    expect(Date.now() - began).toBeLessThan(400);
  });

  it('throws what no waiting can mend', async () => {
    await db.query(
      "INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, 1, $2, 'not a note', now())",
      [origin, randomBytes(32)],
    );
    start();
    await expect(loops.splice(0)[0]).rejects.toThrow();
  });
});
