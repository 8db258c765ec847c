import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { writePem } from '../../domain/timestamp/pem.ts';
import { verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import { makeCrl } from '../../local/tsa/authority-certificates.ts';
import { TSA_FAULTS, type TsaFaultKind } from '../../local/tsa/faults.ts';
import { type RunningTsa, startTsa } from '../../local/tsa/start-tsa.ts';
import { makeTestAuthority, type TestAuthority } from '../../local/tsa/test-authority.ts';
import { createTsaPool, type TsaAttempt, type TsaConfig, type TsaPool, type TsaPoolOptions } from './tsa-pool.ts';

let authorities: readonly TestAuthority[];
const running: RunningTsa[] = [];
const servers: Server[] = [];
const pools: TsaPool[] = [];
const imprint = new Uint8Array(createHash('sha256').update('a checkpoint').digest());

beforeAll(async () => {
  authorities = [await makeTestAuthority('ES256'), await makeTestAuthority('RS256')];
});
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
  await Promise.all(running.splice(0).map((tsa) => tsa.stop()));
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

interface Setup {
  readonly pool: TsaPool;
  readonly tsas: readonly [RunningTsa, RunningTsa];
  readonly attempts: TsaAttempt[];
  clockMs: number;
}

/** Two authorities on sockets and a pool over them; serials are remembered as the store would. */
async function setUp(change: Partial<TsaPoolOptions> = {}, first: Partial<TsaConfig> = {}): Promise<Setup> {
  const tsas = (await Promise.all(authorities.map(({ authority }) => startTsa(authority)))) as [RunningTsa, RunningTsa];
  running.push(...tsas);
  const attempts: TsaAttempt[] = [];
  const serials = new Set<string>();
  const clock = systemClock();
  const setup = { tsas, attempts, clockMs: 0 };
  const pool = createTsaPool({
    tsas: tsas.map((tsa, i) => ({
      name: i === 0 ? 'first' : 'second',
      url: tsa.url,
      policies: [(authorities[i] as TestAuthority).authority.policy],
      roots: [writePem('CERTIFICATE', (authorities[i] as TestAuthority).root.der)],
      selfOperated: i === 0,
      ...(i === 0 ? first : {}),
    })),
    clock: { nowMs: () => clock.nowMs() + setup.clockMs, nowMicros: () => clock.nowMicros() },
    random: (length) => new Uint8Array(randomBytes(length)),
    isSerialUnused: async (tsa, serial) => !serials.has(`${tsa}:${serial}`) && serials.add(`${tsa}:${serial}`).size > 0,
    timeoutMs: 300,
    onAttempt: (attempt) => attempts.push(attempt),
    ...change,
  });
  pools.push(pool);
  return Object.assign(setup, { pool });
}

describe('a pool of timestamp authorities', () => {
  it('asks the first, and returns a token that verifies from its own bytes', async () => {
    const { pool, tsas } = await setUp();
    const stamped = await pool.stamp(imprint);
    expect(stamped).toMatchObject({ tsa: 'first', selfOperated: true, revocation: 'unverified', crls: [] });
    expect(tsas[1].queries()).toBe(0);
    const verdict = await verifyTimestampToken(stamped.token, {
      imprint,
      roots: [(authorities[0] as TestAuthority).root.der],
    });
    expect(verdict).toMatchObject({
      ok: true,
      genTimeMicros: stamped.genTime,
      serial: stamped.serial,
      policy: stamped.policy,
    });
  });

  const expected: Partial<Record<TsaFaultKind, string>> = {
    'status-2': 'TSA_REJECTED',
    'http-400': 'TSA_UNAVAILABLE',
    'http-429': 'TSA_UNAVAILABLE',
    'http-500': 'TSA_UNAVAILABLE',
    'http-503': 'TSA_UNAVAILABLE',
    hang: 'TSA_UNAVAILABLE',
    'reply-lost': 'TSA_UNAVAILABLE',
    oversized: 'TSA_UNAVAILABLE',
  };
  it.each(TSA_FAULTS.filter((kind) => kind !== 'repeated-serial'))('fails over on %s', async (kind) => {
    const { pool, tsas, attempts } = await setUp();
    tsas[0].setFault({ kind });
    expect(await pool.stamp(imprint)).toMatchObject({ tsa: 'second', selfOperated: false });
    expect(Math.abs(attempts.at(-1)?.driftMs ?? Number.NaN)).toBeLessThan(5_000);
    expect(attempts.map(({ tsa, outcome }) => [tsa, outcome])).toEqual([
      ['first', expected[kind] ?? 'TSA_BAD_TOKEN'],
      ['second', 'stamped'],
    ]);
  });

  it('fails over when an authority repeats a serial', async () => {
    const { pool, tsas } = await setUp();
    tsas[0].setFault({ kind: 'repeated-serial' });
    expect([(await pool.stamp(imprint)).tsa, (await pool.stamp(imprint)).tsa]).toEqual(['first', 'second']);
  });

  it('fails over when nobody listens', async () => {
    const { pool, tsas } = await setUp();
    await tsas[0].stop();
    expect((await pool.stamp(imprint)).tsa).toBe('second');
  });

  it('reads no more than its bound from one that never stops sending', async () => {
    const server = createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'application/timestamp-reply' });
      const pump = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384)));
        if (!response.destroyed) response.once('drain', pump);
      };
      pump();
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { pool, attempts } = await setUp({}, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` });
    expect((await pool.stamp(imprint)).tsa).toBe('second');
    expect(attempts[0]?.detail).toContain('longer than 65536');
  });

  it('sends a fresh nonce in each attempt', async () => {
    const nonces: string[] = [];
    const random = (length: number): Uint8Array => {
      const bytes = new Uint8Array(randomBytes(length));
      nonces.push(Buffer.from(bytes).toString('hex'));
      return bytes;
    };
    const { pool, tsas } = await setUp({ random });
    tsas[0].setFault({ kind: 'status-2' });
    await pool.stamp(imprint);
    await pool.stamp(imprint);
    expect(new Set(nonces).size).toBe(4);
  });

  it('leaves an authority alone after three failures, and tries it again after its rest', async () => {
    const setup = await setUp();
    const [first] = setup.tsas;
    first.setFault({ kind: 'http-500' });
    for (let i = 0; i < 5; i++) await setup.pool.stamp(imprint);
    expect(first.queries()).toBe(3);
    expect(setup.pool.states()).toEqual([
      { tsa: 'first', breaker: 'open' },
      { tsa: 'second', breaker: 'closed' },
    ]);
    first.setFault(undefined);
    setup.clockMs += 2_000;
    expect((await setup.pool.stamp(imprint)).tsa).toBe('first');
    expect(setup.pool.states()[0]?.breaker).toBe('closed');
  });

  it('does not ask those that are left out', async () => {
    const { pool, tsas } = await setUp();
    expect((await pool.stamp(imprint, undefined, { except: ['first'] })).tsa).toBe('second');
    await expect(pool.stamp(imprint, undefined, { except: ['first', 'second'] })).rejects.toMatchObject({
      code: 'TSA_UNAVAILABLE',
    });
    expect(tsas[0].queries()).toBe(0);
  });

  it('compares the clocks of all, those that nobody needs included', async () => {
    const { pool, tsas } = await setUp();
    tsas[1].setFault({ kind: 'clock-skew', skewMs: 30_000 });
    const [first, second] = await pool.compareClocks();
    expect(Math.abs(first?.driftMs ?? Number.NaN)).toBeLessThan(5_000);
    expect(Math.abs((second?.driftMs ?? Number.NaN) - 30_000)).toBeLessThan(5_000);
    tsas[1].setFault({ kind: 'http-503' });
    expect((await pool.compareClocks())[1]).toEqual({ tsa: 'second', driftMs: undefined });
  });

  it('keeps to the budget of an authority and uses the next beyond it', async () => {
    const setup = await setUp({}, { bucket: { capacity: 2, refillMs: 30_000 } });
    const used = [];
    for (let i = 0; i < 3; i++) used.push((await setup.pool.stamp(imprint)).tsa);
    setup.clockMs += 30_000;
    used.push((await setup.pool.stamp(imprint)).tsa);
    expect(used).toEqual(['first', 'first', 'second', 'first']);
  });

  it('says what each answered when none gave a good token', async () => {
    const { pool, tsas } = await setUp();
    tsas[0].setFault({ kind: 'wrong-nonce' });
    tsas[1].setFault({ kind: 'http-500' });
    await expect(pool.stamp(imprint)).rejects.toMatchObject({
      code: 'TSA_BAD_TOKEN',
      detail: expect.stringMatching(/first: 4 NONCE_MISMATCH.*second: HTTP 500/),
    });
    tsas[0].setFault({ kind: 'hang' });
    await expect(pool.stamp(imprint)).rejects.toMatchObject({ code: 'TSA_UNAVAILABLE' });
    tsas[0].setFault({ kind: 'status-2' });
    await expect(pool.stamp(imprint)).rejects.toMatchObject({ code: 'TSA_REJECTED' });
  });

  it('lets a failure of the store through without blaming the authority', async () => {
    const down = async (): Promise<boolean> => {
      throw new Error('the store is down');
    };
    const { pool, tsas } = await setUp({ isSerialUnused: down });
    for (let i = 0; i < 5; i++) await expect(pool.stamp(imprint)).rejects.toThrow('the store is down');
    expect(tsas[1].queries()).toBe(0);
    expect(pool.states()[0]?.breaker).toBe('closed');
  });

  it('ends at once when it is told to stop', async () => {
    const { pool, tsas } = await setUp({ timeoutMs: 10_000 });
    tsas[0].setFault({ kind: 'hang' });
    const stop = new AbortController();
    const stamping = pool.stamp(imprint, stop.signal);
    while (tsas[0].queries() === 0) await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    await expect(stamping).rejects.toThrow();
    expect(tsas[1].queries()).toBe(0);
  });

  it('hands out the lists by which the chain was good, and fails over without one in force', async () => {
    const { root, issuer } = authorities[0] as TestAuthority;
    const lists = [await makeCrl(root), await makeCrl(issuer)];
    const good = await setUp({}, { crls: lists.map((der) => writePem('X509 CRL', der)) });
    expect(await good.pool.stamp(imprint)).toMatchObject({ tsa: 'first', revocation: 'good', crls: lists });
    const partial = await setUp({}, { crls: [writePem('X509 CRL', await makeCrl(root))] });
    expect((await partial.pool.stamp(imprint)).tsa).toBe('second');
  });

  it('refuses a configuration that trusts nothing', async () => {
    const options = { clock: systemClock(), random: () => new Uint8Array(8), isSerialUnused: async () => true };
    expect(() => createTsaPool({ ...options, tsas: [] })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    const bad = { name: 'a', url: 'nonsense', policies: [], roots: [], selfOperated: false };
    expect(() => createTsaPool({ ...options, tsas: [bad, bad] })).toThrow(
      expect.objectContaining({
        extra: {
          faults: expect.arrayContaining(['a: no root', 'a: no policy', 'a: url', 'two authorities of one name']),
        },
      }),
    );
  });
});
