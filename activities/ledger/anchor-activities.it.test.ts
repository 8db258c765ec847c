import { describe, expect, it } from '@jest/globals';
import { useAnchorWorld } from '../../test/support/anchor-world.ts';

const world = useAnchorWorld({ receiptPatienceMs: 1_500 });

describe('an anchor in Postgres and on the ledger', () => {
  it('is prepared once, whoever asks and how often', async () => {
    const anchor = await world.newAnchor(1);
    const [one, other] = [world.worker(), world.worker()];
    await Promise.all([one.prepareAnchor(anchor), other.prepareAnchor(anchor), one.prepareAnchor(anchor)]);
    expect(await world.attempts(1)).toEqual([expect.objectContaining({ attempt: 1, state: 'PREPARED' })]);
  });

  it('is one message when workers die before sending, after sending, and after consensus', async () => {
    const anchor = await world.newAnchor(1);
    const { attempt } = await world.worker().prepareAnchor(anchor);
    const key = { ...anchor, attempt };
    // Sent, but the worker dies before it says so.
    world.sim.faults.arm({ at: 'ingest', effect: { grpc: 1, when: 'after' } });
    await world.worker().submitAnchor(key);
    await world.db.query(`UPDATE anchor_attempts SET state = 'PREPARED'`);
    expect(await world.worker().submitAnchor(key)).toMatchObject({ state: 'SENT' });
    expect(await world.worker().awaitAnchorReceipt(key)).toMatchObject({ state: 'CONSENSUS' });
    expect(await world.worker().submitAnchor(key)).toEqual({ attempt: 1, state: 'CONSENSUS' });
    expect(await world.worker().confirmAnchor(key)).toMatchObject({ state: 'VERIFIED' });
    expect(await world.worker().confirmAnchor(key)).toMatchObject({ state: 'VERIFIED' });
    expect(world.messages()).toHaveLength(1);
    expect(await world.attempts(1)).toHaveLength(1);
  });

  it('is one message, of a second attempt, when every node was down until the first had expired', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    const nodes = Object.values(world.sim.nodes);
    for (const node of nodes) world.sim.stopNode(node);
    const { attempt } = await activities.prepareAnchor(anchor);
    expect(await activities.submitAnchor({ ...anchor, attempt })).toMatchObject({
      state: 'SENT',
      status: 'OUTCOME_UNKNOWN',
    });
    await Promise.all(nodes.map((node) => world.sim.startNode(node)));
    world.sim.clock.advance(110_000);
    await expect(activities.awaitAnchorReceipt({ ...anchor, attempt })).rejects.toMatchObject({
      code: 'LEDGER_NOT_CONFIRMED',
    });
    world.sim.clock.advance(10_000);
    expect(await activities.awaitAnchorReceipt({ ...anchor, attempt })).toMatchObject({
      state: 'EXPIRED',
      status: 'PROVEN_ABSENT',
    });
    expect(await world.pass(activities, anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
    expect(world.messages()).toHaveLength(1);
    const [first, second] = await world.attempts(1);
    expect([first?.state, second?.state]).toEqual(['EXPIRED', 'VERIFIED']);
    expect(first?.transactionId).not.toBe(second?.transactionId);
  });

  it('asks for the same bytes again when they got lost while they are valid', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    world.sim.faults.arm({ at: 'consensus', effect: { drop: true } });
    expect(await world.pass(activities, anchor)).toEqual({ attempt: 1, state: 'SENT', status: 'RESEND' });
    expect(await activities.prepareAnchor(anchor)).toEqual({ attempt: 1, state: 'SENT' });
  });

  it('is sent again soon after an outage in which nobody could tell whether it arrived', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    const nodes = Object.values(world.sim.nodes);
    for (const node of nodes) world.sim.stopNode(node);
    expect(await world.pass(activities, anchor)).toEqual({ attempt: 1, state: 'SENT', status: 'RESEND' });
    expect(await world.anchor(1)).toMatchObject({ state: 'SENT', failure: { status: 'OUTCOME_UNKNOWN' } });
    await Promise.all(nodes.map((node) => world.sim.startNode(node)));
    let step = await world.pass(activities, anchor);
    while (step.status === 'RESEND') step = await world.pass(activities, anchor);
    expect(step).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(world.messages()).toHaveLength(1);
    expect(await world.anchor(1)).toMatchObject({ state: 'VERIFIED', failure: null });
  });

  it('gets a second attempt after it was throttled at consensus', async () => {
    const anchor = await world.newAnchor(1);
    world.sim.faults.arm({ at: 'consensus', effect: { status: 'THROTTLED_AT_CONSENSUS' } });
    expect(await world.pass(world.worker(), anchor)).toEqual({
      attempt: 1,
      state: 'EXPIRED',
      status: 'THROTTLED_AT_CONSENSUS',
    });
    expect(await world.pass(world.worker(), anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
    expect(world.messages()).toHaveLength(1);
  });

  it('is rejected for an empty account and goes on with the same bytes once it is filled', async () => {
    const anchor = await world.newAnchor(1);
    const poor = world.sim.treasury.createAccount({ publicKey: world.keys.payer.publicKey, balanceHbar: 0 });
    const activities = world.worker({ config: { payerAccountId: poor } });
    const rejected = { attempt: 1, state: 'REJECTED', status: 'INSUFFICIENT_PAYER_BALANCE', isHeld: true };
    expect(await world.pass(activities, anchor)).toEqual(rejected);
    expect(await world.anchor(1)).toMatchObject({
      state: 'REJECTED',
      failure: { status: 'INSUFFICIENT_PAYER_BALANCE' },
    });
    expect(await world.openAlarms()).toEqual(['anchor.rejected']);
    // Another worker, after a restart too, only sees that it is held.
    expect(await world.worker({ config: { payerAccountId: poor } }).prepareAnchor(anchor)).toEqual(rejected);
    expect(await world.settle(activities, anchor)).toEqual(rejected);
    const account = world.sim.ledger.state.accounts.get(poor);
    if (account === undefined) throw new Error('no account');
    account.balanceTinybars = 100_000_000n;
    await world.command('retry', 1);
    expect(await world.settle(activities, anchor)).toEqual({ attempt: 1, state: 'REJECTED' });
    expect(await world.settle(activities, anchor)).toEqual({ attempt: 1, state: 'REJECTED' });
    expect(await world.openAlarms()).toEqual([]);
    expect(await world.pass(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(await world.anchor(1)).toMatchObject({ state: 'VERIFIED', failure: null });
  });

  it('waits for a person when it failed at consensus, and gets a second attempt then', async () => {
    const anchor = await world.newAnchor(1);
    expect(await world.pass(world.worker({ config: { submitKeyRef: 'signer://stranger' } }), anchor)).toEqual({
      attempt: 1,
      state: 'FAILED',
      status: 'INVALID_SIGNATURE',
      isHeld: true,
    });
    expect((await world.anchor(1)).state).toBe('REJECTED');
    expect(await world.pass(world.worker(), anchor)).toMatchObject({ attempt: 1, isHeld: true });
    expect(await world.worker().settleAnchor({ ...anchor, isRetryAsked: true })).toEqual({
      attempt: 1,
      state: 'FAILED',
    });
    expect(await world.pass(world.worker(), anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
  });

  it('asks to come back while nodes are busy', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    const { attempt } = await activities.prepareAnchor(anchor);
    world.sim.faults.arm({ at: 'ingest', effect: { precheck: 'INVALID_TRANSACTION_START' } });
    await expect(activities.submitAnchor({ ...anchor, attempt })).rejects.toMatchObject({ code: 'LEDGER_UNAVAILABLE' });
    expect(await world.pass(activities, anchor)).toMatchObject({ state: 'VERIFIED' });
  });
});
