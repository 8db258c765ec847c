import { describe, expect, it } from '@jest/globals';
import { countAlarms } from '../../../store/alarms.ts';
import { ORIGIN, useAnchorWorld } from '../../../test/support/anchor-world.ts';
import { until } from '../../../test/support/until.ts';
import { createTopicWalk } from '../walk-topic.ts';

const world = useAnchorWorld();
const NIGHT = '2026-11-23T02:00:00Z';

const walk = () => createTopicWalk({ ...world, origin: ORIGIN, heartbeat: () => undefined });
const openAlarms = async (): Promise<string[]> =>
  Object.entries(await countAlarms(world.db)).flatMap(([kind, n]) => (n > 0 ? [kind] : []));

describe('confirming', () => {
  it('waits while a mirror lags 30 s, and counts once it shows the message', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    const [, second] = world.sim.mirrors;
    if (second === undefined) throw new Error('no second mirror');
    second.lagMs = 30_000;
    await expect(world.pass(activities, anchor)).rejects.toMatchObject({ code: 'LEDGER_NOT_CONFIRMED' });
    expect((await world.attempts(1))[0]?.state).toBe('CONFIRMED');
    world.sim.clock.advance(31_000);
    expect(await world.drive(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
  });

  it('takes a 404 for not yet, then the row', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    for (const mirror of world.sim.mirrors) mirror.pausedAtMs = world.sim.clock.nowMs() - 1;
    await expect(world.pass(activities, anchor)).rejects.toMatchObject({ code: 'LEDGER_NOT_CONFIRMED' });
    for (const mirror of world.sim.mirrors) mirror.pausedAtMs = undefined;
    expect(await world.drive(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
  });

  it('comes back later after a 429', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    world.sim.faults.arm({ at: 'mirrorRest', match: { node: '1' }, effect: { http: 429 }, times: 2 });
    await expect(world.pass(activities, anchor)).rejects.toMatchObject({
      code: 'LEDGER_NOT_CONFIRMED',
      detail: expect.stringContaining('did not answer'),
    });
    expect(await world.drive(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
  });

  it.each(['message', 'runningHash', 'sequence'] as const)(
    'is suspect when one mirror lies about the %s: it freezes, raises the alarm and never tries again by itself',
    async (corrupt) => {
      const anchor = await world.newAnchor(1);
      const activities = world.worker();
      world.sim.faults.arm({ at: 'mirrorRest', match: { node: '1', type: 'topics' }, effect: { corrupt }, times: 99 });
      expect(await world.drive(activities, anchor)).toMatchObject({ state: 'SUSPECT', isHeld: true });
      world.sim.faults.clear();
      const calls = world.sim.calls.length;
      for (let round = 0; round < 3; round++)
        expect(await world.drive(world.worker(), anchor)).toMatchObject({ state: 'SUSPECT', isHeld: true });
      expect(world.sim.calls).toHaveLength(calls);
      expect(await openAlarms()).toEqual(['anchor.suspect']);
      await expect(activities.prepareAnchor(await world.newAnchor(2))).rejects.toMatchObject({ code: 'LEDGER_FROZEN' });
    },
  );
});

describe('the walk along the topic', () => {
  it('goes on from the cursor, whole on the first of a month, and finds nothing where nothing is', async () => {
    for (const size of [3, 5, 9]) await world.drive(world.worker(), await world.newAnchor(size));
    expect(await walk().checkTopic({ at: NIGHT })).toEqual({ checked: 0, faults: [] });
    expect(await walk().checkTopic({ at: '2026-12-01T02:00:00Z' })).toEqual({ checked: 3, faults: [] });
    await world.test.pool('proofline_owner').query('DELETE FROM topic_cursors');
    expect(await walk().checkTopic({ at: NIGHT })).toEqual({ checked: 3, faults: [] });
    expect((await world.db.query('SELECT sequence_number FROM topic_cursors')).rows).toEqual([{ sequence_number: 3n }]);
  });

  it('finds a gap in the sequence and a broken running hash, and stays before them', async () => {
    for (const size of [3, 5, 9]) await world.drive(world.worker(), await world.newAnchor(size));
    await world.test.pool('proofline_owner').query('DELETE FROM topic_cursors');
    const lie = (corrupt: 'sequence' | 'runningHash'): void =>
      world.sim.faults.arm({ at: 'mirrorRest', match: { node: '0', type: 'topics' }, effect: { corrupt } });
    lie('sequence');
    expect((await walk().checkTopic({ at: NIGHT })).faults[0]).toMatch(
      /^topic\.gap: message 2 of .* follows message 0/,
    );
    lie('runningHash');
    expect((await walk().checkTopic({ at: NIGHT })).faults[0]).toMatch(
      /^topic\.hash_break: message 1 of .* does not follow/,
    );
    expect(await openAlarms()).toContain('topic.gap');
    expect((await world.db.query('SELECT FROM topic_cursors')).rowCount).toBe(0);
    const honest = await walk().checkTopic({ at: NIGHT });
    expect([honest.checked, (await world.db.query('SELECT FROM topic_cursors')).rowCount]).toEqual([3, 1]);
  });

  it('finds a foreign message, a foreign payer and an anchor that we never asked for, each once', async () => {
    await world.drive(world.worker(), await world.newAnchor(3));
    const rich = world.sim.treasury.createAccount({ publicKey: world.keys.stranger.publicKey, balanceHbar: 10 });
    const send = async (message: string, config = {}): Promise<void> => {
      const ledger = world.ledger({ config });
      const before = world.messages().length;
      await ledger.submit(await ledger.prepare(message));
      await until(
        () => world.messages().length,
        (count) => count > before,
      );
    };
    await send('hello');
    await send('hello', { payerAccountId: rich, payerKeyRef: 'signer://stranger' });
    await send((await world.entry(3)).message.replace('|3|', '|4|'));
    await world.drive(world.worker(), await world.newAnchor(9));
    const { checked, faults } = await walk().checkTopic({ at: NIGHT });
    expect(checked).toBe(4);
    expect(faults.map((fault) => fault.split(':')[0])).toEqual([
      'topic.foreign_message',
      'topic.foreign_payer',
      'topic.unknown_anchor',
    ]);
    expect(await openAlarms()).toEqual(['topic.foreign_payer', 'topic.foreign_message', 'topic.unknown_anchor']);
    expect((await walk().checkTopic({ at: NIGHT })).faults).toEqual([]);
    await world.db.query('UPDATE alarms SET ended_at = now()');
    expect(await walk().checkTopic({ at: '2026-12-01T02:00:00Z' })).toEqual({ checked: 5, faults: [] });
  });

  it('finds an anchor that was verified and is shown no more, or otherwise', async () => {
    for (const size of [3, 5]) await world.drive(world.worker(), await world.newAnchor(size));
    const whole = { at: '2026-12-01T02:00:00Z' };
    await world.db.query(`UPDATE anchors SET entry = jsonb_set(entry, '{runningHash}', '"other"') WHERE size = 5`);
    expect((await walk().checkTopic(whole)).faults[0]).toMatch(/^topic\.hash_break: message 2/);
    // One mirror is away: another tells.
    world.sim.faults.arm({ at: 'mirrorRest', match: { node: '0', type: 'topics' }, effect: { http: 503 } });
    expect((await walk().checkTopic(whole)).checked).toBe(2);
    const topic = world.sim.ledger.state.topics.get(world.config.topicId);
    topic?.messages.pop();
    expect((await walk().checkTopic(whole)).faults).toEqual([]);
    world.sim.clock.advance(16 * 60_000);
    expect((await walk().checkTopic(whole)).faults).toEqual([
      expect.stringMatching(/^topic\.anchor_missing: message 2/),
    ]);
  });
});
