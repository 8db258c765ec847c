import { describe, expect, it } from '@jest/globals';
import { findAnchorEntryFault } from '../../domain/ledger/anchor-entry.ts';
import { parseAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { ORIGIN, useAnchorWorld } from '../../test/support/anchor-world.ts';

const world = useAnchorWorld({ receiptPatienceMs: 1_500 });

describe('an anchor that the mirrors confirm', () => {
  it('ends with its entry, the size that it covers, and the proofs moved', async () => {
    const anchor = await world.newAnchor(7);
    expect(await world.pass(world.worker(), anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    const { state, entry } = await world.anchor(7);
    if (entry === null) throw new Error('no entry');
    expect(state).toBe('VERIFIED');
    expect(parseAnchorMessage(entry.message)).toMatchObject({ size: 7n, root: Uint8Array.from(Buffer.alloc(32, 7)) });
    expect(findAnchorEntryFault(entry)).toBeUndefined();
    expect(await world.anchoredSize()).toBe(7n);
    expect(world.advanced).toEqual([ORIGIN]);
  });

  it('counts only when a quorum of mirrors shows it', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    const [, second] = world.sim.mirrors;
    if (second === undefined) throw new Error('no second mirror');
    second.pausedAtMs = world.sim.clock.nowMs() - 1;
    const { attempt } = await activities.prepareAnchor(anchor);
    const key = { ...anchor, attempt };
    await activities.submitAnchor(key);
    await activities.awaitAnchorReceipt(key);
    await expect(activities.confirmAnchor(key)).rejects.toMatchObject({ code: 'LEDGER_NOT_CONFIRMED' });
    expect((await world.anchor(1)).state).toBe('CONFIRMED');
    second.pausedAtMs = undefined;
    expect(await activities.confirmAnchor(key)).toMatchObject({ state: 'VERIFIED' });
  });

  it('never lowers what is covered when an older anchor is verified later', async () => {
    const [older, newer] = [await world.newAnchor(3), await world.newAnchor(9)];
    await world.pass(world.worker(), newer);
    await world.pass(world.worker(), older);
    expect(await world.anchoredSize()).toBe(9n);
  });
});

describe('what an anchor leaves behind', () => {
  it('is its fee, shared by the leaves that no anchor covered before', async () => {
    await world.pass(world.worker(), await world.newAnchor(3));
    await world.pass(world.worker(), await world.newAnchor(9));
    const fee = world.sim.ledger.state.transactions
      .filter(({ message }) => message !== undefined)
      .map((row) => row.chargedFee);
    expect(await world.rows('SELECT size, fee_tinybars, new_leaves FROM anchors ORDER BY size')).toEqual([
      { size: 3n, fee_tinybars: fee[0], new_leaves: 3n },
      { size: 9n, fee_tinybars: fee[1], new_leaves: 6n },
    ]);
  });

  it('is the place in the topic, against which the next is held', async () => {
    await world.pass(world.worker(), await world.newAnchor(3));
    await world.pass(world.worker(), await world.newAnchor(9));
    expect(await world.rows('SELECT network, topic_id, sequence_number FROM topic_cursors')).toEqual([
      { network: 'simulator', topic_id: world.config.topicId, sequence_number: 2n },
    ]);
    // All mirrors, and the receipt with them, tell a history that is not the one seen.
    await world.db.query('UPDATE topic_cursors SET running_hash = $1', [Buffer.alloc(48, 1)]);
    expect(await world.pass(world.worker(), await world.newAnchor(11))).toMatchObject({
      state: 'SUSPECT',
      status: expect.stringContaining('not the one that was seen there earlier'),
    });
  });
});
