import { describe, expect, it } from '@jest/globals';
import { findAuditBreak } from '../../store/audit.ts';
import { type Anchor, ORIGIN, useAnchorWorld } from '../../test/support/anchor-world.ts';
import type { LedgerActivities } from './anchor-activities.ts';

const world = useAnchorWorld({ receiptPatienceMs: 1_500 });

describe('a suspect anchor', () => {
  /** Anchors one checkpoint while a mirror lies about it. */
  async function suspect(size: number): Promise<{ anchor: Anchor; activities: LedgerActivities }> {
    const anchor = await world.newAnchor(size);
    const activities = world.worker();
    const { attempt } = await activities.prepareAnchor(anchor);
    await activities.submitAnchor({ ...anchor, attempt });
    await activities.awaitAnchorReceipt({ ...anchor, attempt });
    world.sim.faults.arm({
      at: 'mirrorRest',
      match: { node: '1', type: 'topics' },
      effect: { corrupt: 'message' },
      times: 99,
    });
    expect(await activities.confirmAnchor({ ...anchor, attempt })).toMatchObject({ state: 'SUSPECT' });
    return { anchor, activities };
  }

  it('stays suspect once a mirror contradicted, and covers nothing', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    const { attempt } = await activities.prepareAnchor(anchor);
    const key = { ...anchor, attempt };
    await activities.submitAnchor(key);
    await activities.awaitAnchorReceipt(key);
    world.sim.faults.arm({ at: 'mirrorRest', match: { node: '1', type: 'topics' }, effect: { corrupt: 'message' } });
    expect(await activities.confirmAnchor(key)).toMatchObject({
      state: 'SUSPECT',
      status: expect.stringContaining('the message is another'),
      isHeld: true,
    });
    expect(await activities.confirmAnchor(key)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    expect(await activities.prepareAnchor(anchor)).toMatchObject({ attempt: 1, state: 'SUSPECT', isHeld: true });
    expect(await world.settle(activities, anchor)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    expect(await world.openAlarms()).toEqual(['anchor.suspect']);
    expect(await world.anchor(1)).toMatchObject({ state: 'SUSPECT', entry: null });
    expect(await world.anchoredSize()).toBe(0n);
  });

  it('keeps every other anchor from being sent, until it is decided about', async () => {
    const second = await world.newAnchor(9);
    const other = world.worker();
    const key = { ...second, attempt: (await other.prepareAnchor(second)).attempt };
    const third = await world.newAnchor(11);
    const { anchor, activities } = await suspect(7);
    await expect(other.prepareAnchor(third)).rejects.toMatchObject({ code: 'LEDGER_FROZEN' });
    await expect(other.submitAnchor(key)).rejects.toMatchObject({ code: 'LEDGER_FROZEN' });
    expect(world.messages()).toHaveLength(1);
    await world.db.query('DELETE FROM outbox');
    await world.command('abandon', 7);
    expect(await world.settle(activities, anchor)).toEqual({ attempt: 1, state: 'FAILED', isAbandoned: true });
    // Those that waited are told to look again.
    expect(await world.rows(`SELECT workflow_id, name FROM outbox ORDER BY id`)).toEqual([
      { workflow_id: `anchor:${ORIGIN}:7`, name: 'anchorCommanded' },
      { workflow_id: `anchor:${ORIGIN}:9`, name: 'retryNow' },
      { workflow_id: `anchor:${ORIGIN}:11`, name: 'retryNow' },
    ]);
    world.sim.faults.clear();
    expect(await world.pass(other, second)).toMatchObject({ state: 'VERIFIED' });
    expect(await world.pass(other, third)).toMatchObject({ state: 'VERIFIED' });
  });

  it('stands once an operator accepts it and the mirrors that are believed show it', async () => {
    const { anchor, activities } = await suspect(7);
    await world.command('accept', 7, [world.sim.mirrorRestUrls[1] ?? '']);
    expect(await world.settle(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    const { state, entry } = await world.anchor(7);
    expect([state, entry?.sequenceNumber]).toEqual(['VERIFIED', '1']);
    expect(await world.anchoredSize()).toBe(7n);
    expect(world.advanced).toEqual([ORIGIN]);
    expect(await world.openAlarms()).toEqual([]);
    expect(await world.rows(`SELECT confirmation -> 'acceptedBy' IS NOT NULL AS by FROM anchor_attempts`)).toEqual([
      { by: true },
    ]);
    expect(
      await world.rows(
        `SELECT actor, action, subject FROM audit WHERE action LIKE 'anchor.%' ORDER BY id DESC LIMIT 2`,
      ),
    ).toEqual([
      { actor: 'key:operator', action: 'anchor.accept.applied', subject: `anchor:${ORIGIN}:7` },
      { actor: 'key:operator', action: 'anchor.accept.requested', subject: `anchor:${ORIGIN}:7` },
    ]);
    expect(await findAuditBreak(world.db)).toBeUndefined();
  });

  it('stays suspect when it is accepted and a mirror that is believed contradicts, and says so', async () => {
    const { anchor, activities } = await suspect(7);
    await world.command('accept', 7, [world.sim.mirrorRestUrls[0] ?? '']);
    expect(await world.settle(activities, anchor)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    await world.command('accept', 7, world.sim.mirrorRestUrls);
    expect(await world.settle(activities, anchor)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    expect(await world.rows('SELECT state, code, detail FROM anchor_commands ORDER BY created_at')).toEqual([
      { state: 'REFUSED', code: 'LEDGER_SUSPECT', detail: expect.stringContaining('the message is another') },
      { state: 'REFUSED', code: 'LEDGER_SUSPECT', detail: expect.any(String) },
    ]);
    expect(await world.anchoredSize()).toBe(0n);
    expect(await world.openAlarms()).toEqual(['anchor.suspect']);
  });

  it('that was abandoned covers nothing, and its checkpoint is anchored anew by a second attempt of its own', async () => {
    const { anchor, activities } = await suspect(7);
    await world.command('abandon', 7);
    await world.settle(activities, anchor);
    world.sim.faults.clear();
    expect(await world.anchor(7)).toMatchObject({ state: 'FAILED', failure: { status: 'ABANDONED' } });
    expect(await activities.prepareAnchor(anchor)).toMatchObject({ isAbandoned: true });
    expect(await world.settle(activities, anchor)).toMatchObject({ isAbandoned: true });
    expect(await world.anchoredSize()).toBe(0n);
    // What the next window does.
    await world.db.query(`UPDATE anchors SET state = 'PENDING', failure = NULL`);
    expect(await world.pass(activities, anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
    expect((await world.attempts(7)).map(({ state }) => state)).toEqual(['FAILED', 'VERIFIED']);
  });

  it('takes each verb once, and none that does not fit', async () => {
    const { anchor, activities } = await suspect(7);
    await expect(world.command('retry', 7)).rejects.toMatchObject({
      code: 'TRANSITION_NOT_ALLOWED',
      detail: 'retry of an anchor that is SUSPECT',
    });
    await expect(world.command('accept', 8)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await Promise.all([
      world.command('abandon', 7),
      world.command('abandon', 7),
      world.command('accept', 7, [world.sim.mirrorRestUrls[1] ?? '']),
    ]);
    await Promise.all(
      [world.settle(activities, anchor), world.settle(world.worker(), anchor)].map((one) => one.catch(() => undefined)),
    );
    await world.settle(activities, anchor);
    const states = (await world.rows('SELECT state FROM anchor_commands ORDER BY state')).map(({ state }) => state);
    expect(states).toEqual(['APPLIED', 'REFUSED', 'REFUSED']);
    await expect(world.command('abandon', 7)).rejects.toMatchObject({ code: 'TRANSITION_NOT_ALLOWED' });
  });
});
