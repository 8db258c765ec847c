import { describe, expect, it } from '@jest/globals';
import { useLicenceDrain } from '../test/support/licence-drain.ts';

const world = useLicenceDrain();
const { drain, grant, queue } = world;

describe('periods', () => {
  const monthly = (rollover: number) =>
    ({ type: 'MONTHLY', count: 3, anchorDate: '2026-01-31', timeZone: 'Europe/Paris', rollover }) as const;

  it('are half-open, and the next one is open to the first proof of its first instant', async () => {
    await queue(4);
    await grant(world.tenant, { quota: 1, term: monthly(0) });
    world.now = '2026-02-27T22:59:59.999999Z';
    expect(await drain()).toMatchObject({ drafted: 1, waiting: 3 });
    world.now = '2026-02-27T23:00:00.000000Z';
    expect(await drain()).toMatchObject({ drafted: 1 });
    const { rows } = await world.owner.query(
      'SELECT n, starts_at, ends_at, quota, used FROM licence_periods ORDER BY n',
    );
    expect(rows).toEqual([
      { n: 0, starts_at: '2026-01-30T23:00:00.000000Z', ends_at: '2026-02-27T23:00:00.000000Z', quota: 1n, used: 1n },
      { n: 1, starts_at: '2026-02-27T23:00:00.000000Z', ends_at: '2026-03-30T22:00:00.000000Z', quota: 1n, used: 1n },
    ]);
    world.now = '2026-04-29T22:00:00.000000Z';
    expect(await drain()).toMatchObject({ drafted: 0 });
    const { rows: after } = await world.owner.query('SELECT max(n) AS n FROM licence_periods');
    expect(after).toEqual([{ n: 2 }]);
  });

  it('pass on what they leave over, as far as the grant says', async () => {
    await queue(9);
    await grant(world.tenant, { quota: 5, term: monthly(3) });
    await world.owner.query('UPDATE licence_periods SET used = 4');
    world.now = '2026-03-30T22:00:00.000000Z';
    expect(await drain()).toMatchObject({ drafted: 8, waiting: 1 });
    const { rows } = await world.owner.query('SELECT quota FROM licence_periods ORDER BY n');
    expect(rows.map((row) => row.quota)).toEqual([5n, 6n, 8n]);
  });

  it('are consumed in the order in which they end', async () => {
    await queue(3);
    const perpetual = await grant(world.tenant, { quota: 5 });
    const ending = await grant(world.tenant, { quota: 2, term: monthly(0) });
    await drain();
    const { rows } = await world.owner.query(
      'SELECT grant_id, count(*)::int AS n FROM licence_consumptions GROUP BY grant_id',
    );
    expect(new Map(rows.map((row) => [row.grant_id, row.n]))).toEqual(
      new Map([
        [ending.grantId, 2],
        [perpetual.grantId, 1],
      ]),
    );
  });

  it('of a grant that is revoked, over or not yet begun give nothing', async () => {
    await queue(1);
    const revoked = await grant(world.tenant);
    await world.owner.query('UPDATE licence_grants SET revoked_at = $2 WHERE id = $1', [revoked.grantId, world.now]);
    await grant(world.tenant, { notAfter: world.now });
    await grant(world.tenant, { notBefore: '2026-01-31T09:00:00.000001Z' });
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 1 });
    world.now = '2026-01-31T09:00:00.000001Z';
    expect(await drain()).toMatchObject({ drafted: 1 });
  });
});
