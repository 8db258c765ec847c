import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseAnchorMessage } from '../../../domain/ledger/anchor-message.ts';
import { anchorCost } from '../../../domain/ledger/describe-ledger.ts';
import { createNodeReader, hashLeaf, makeInclusionPath, rootOfLeaves, verifyInclusion } from '../../../log/tree.ts';
import { closeAnchorWindow } from '../../../store/anchor-windows.ts';
import { inTransaction } from '../../../store/pool.ts';
import { ORIGIN, useAnchorWorld } from '../../../test/support/anchor-world.ts';
import type { AnchoringWork, DeathPoint } from '../../../test/support/anchoring-process.ts';

const world = useAnchorWorld();

describe('sending', () => {
  it('brings one message to the ledger and its entry into Postgres', async () => {
    expect(await world.drive(world.worker(), await world.newAnchor(7))).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(world.messages()).toHaveLength(1);
    const entry = await world.entry(7);
    expect(parseAnchorMessage(entry.message)).toMatchObject({ size: 7n });
    expect((await world.attempts(7))[0]?.transactionId).toBe(entry.transactionId);
  });

  it('is one message under the first id when the reply is lost after acceptance', async () => {
    world.sim.faults.arm({ at: 'ingest', effect: { grpc: 14, when: 'after' } });
    await world.drive(world.worker(), await world.newAnchor(1));
    expect(world.messages()).toHaveLength(1);
    expect(await world.attempts(1)).toEqual([
      { attempt: 1, state: 'VERIFIED', transactionId: (await world.entry(1)).transactionId },
    ]);
  });

  it('is one message when worker processes are killed after persisting, sending, the receipt and the confirmation', async () => {
    const anchor = await world.newAnchor(1);
    const pem = (name: 'payer' | 'submit'): string =>
      world.keys[name].privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const deaths: readonly DeathPoint[] = ['persisted', 'sent', 'received', 'confirmed', 'never'];
    const seen: string[] = [];
    for (const dies of deaths) {
      const work: AnchoringWork = {
        dbUrl: world.test.url('proofline_worker'),
        config: world.config,
        keys: { payer: pem('payer'), submit: pem('submit') },
        anchor,
        dies,
      };
      const child = spawn(process.execPath, [join(import.meta.dirname, '../../../test/support/anchoring-process.ts')], {
        env: { PATH: process.env.PATH, ANCHORING: JSON.stringify(work) },
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const [code, signal] = await once(child, 'exit');
      expect([dies, code, signal]).toEqual([dies, dies === 'never' ? 0 : null, dies === 'never' ? null : 'SIGKILL']);
      seen.push((await world.attempts(1)).map(({ state }) => state).join());
    }
    expect(seen).toEqual(['PREPARED', 'PREPARED', 'SENT', 'CONSENSUS', 'VERIFIED']);
    expect(world.messages()).toHaveLength(1);
  }, 60_000);

  it('outlives three busy answers and a node that cannot create the platform transaction', async () => {
    world.sim.faults.arm({ at: 'ingest', effect: { precheck: 'BUSY' }, times: 3 });
    await world.drive(world.worker(), await world.newAnchor(1));
    world.sim.faults.arm({ at: 'ingest', effect: { precheck: 'PLATFORM_TRANSACTION_NOT_CREATED' } });
    await world.drive(world.worker(), await world.newAnchor(2));
    expect(world.messages()).toHaveLength(2);
    expect([...(await world.attempts(1)), ...(await world.attempts(2))]).toHaveLength(2);
  });

  it('goes to another node within the deadline of one call and a second when the first is dead', async () => {
    const ledger = world.ledger();
    const prepared = await ledger.prepare('pl1|x');
    world.sim.stopNode(prepared.nodes[0] ?? '');
    const begun = performance.now();
    expect((await ledger.submit(prepared)).kind).toBe('sent');
    expect(performance.now() - begun).toBeLessThan((world.config.grpcDeadlineMs ?? 0) + 1_000);
  });

  it('is one message, of a second attempt, when every node was down past the validity window', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker();
    const nodes = Object.values(world.sim.nodes);
    for (const node of nodes) world.sim.stopNode(node);
    expect(await world.pass(activities, anchor)).toMatchObject({ state: 'SENT', status: 'RESEND' });
    world.sim.clock.advance(125_000);
    expect(await world.pass(activities, anchor)).toMatchObject({ state: 'EXPIRED', status: 'PROVEN_ABSENT' });
    await Promise.all(nodes.map((node) => world.sim.startNode(node)));
    expect(await world.drive(activities, anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
    const [first, second] = await world.attempts(1);
    expect([first?.state, second?.state, world.messages().length]).toEqual(['EXPIRED', 'VERIFIED', 1]);
    expect(first?.transactionId).not.toBe(second?.transactionId);
  });

  it('makes a second attempt after it was throttled at consensus, and keeps both ids', async () => {
    world.sim.faults.arm({ at: 'consensus', effect: { status: 'THROTTLED_AT_CONSENSUS' } });
    expect(await world.drive(world.worker(), await world.newAnchor(1))).toEqual({ attempt: 2, state: 'VERIFIED' });
    const ids = (await world.attempts(1)).map(({ transactionId }) => transactionId);
    expect(new Set(ids).size).toBe(2);
    expect(world.messages()).toHaveLength(1);
  });

  it('fails without the submit key, pays once, and waits for a person', async () => {
    const anchor = await world.newAnchor(1);
    const wrong = world.worker({ config: { submitKeyRef: 'signer://stranger' } });
    const failed = { attempt: 1, state: 'FAILED', status: 'INVALID_SIGNATURE', isHeld: true };
    expect(await world.drive(wrong, anchor)).toEqual(failed);
    expect(await world.drive(wrong, anchor)).toEqual(failed);
    expect(await world.attempts(1)).toHaveLength(1);
    await world.command('retry', 1);
    expect((await world.worker().settleAnchor({ ...anchor, isRetryAsked: false })).isHeld).toBeUndefined();
    expect(await world.drive(world.worker(), anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
  });

  it('is rejected for an unfunded payer, and resumes when an operator says so', async () => {
    const anchor = await world.newAnchor(1);
    const poor = world.sim.treasury.createAccount({ publicKey: world.keys.payer.publicKey, balanceHbar: 0 });
    const activities = world.worker({ config: { payerAccountId: poor } });
    expect(await world.drive(activities, anchor)).toMatchObject({
      state: 'REJECTED',
      status: 'INSUFFICIENT_PAYER_BALANCE',
    });
    const account = world.sim.ledger.state.accounts.get(poor);
    if (account === undefined) throw new Error('no account');
    account.balanceTinybars = 100_000_000n;
    expect(await world.pass(activities, anchor)).toMatchObject({ state: 'REJECTED', isHeld: true });
    await world.command('retry', 1);
    await activities.settleAnchor({ ...anchor, isRetryAsked: false });
    expect(await world.drive(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
  });

  it('arrives once its validity has begun when our clock is 10 s fast', async () => {
    const anchor = await world.newAnchor(1);
    const activities = world.worker({ fastMs: 10_000 });
    await expect(world.pass(activities, anchor)).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      detail: expect.stringContaining('INVALID_TRANSACTION_START'),
    });
    world.sim.clock.advance(6_000);
    expect(await world.drive(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(world.messages()).toHaveLength(1);
  });

  it('is one message for 1,000 leaves, each with a path to the root in it, at a thousandth of the fee', async () => {
    const leaves = Array.from({ length: 1_000 }, (_, i) => hashLeaf(createHash('sha256').update(`${i}`).digest()));
    await world.drive(world.worker(), await world.newAnchor(1_000, rootOfLeaves(leaves)));
    expect(world.messages()).toHaveLength(1);
    const anchored = parseAnchorMessage((await world.entry(1_000)).message);
    const reader = createNodeReader(leaves);
    const valid = leaves.filter((leafHash, i) => {
      const path = makeInclusionPath(BigInt(i), 1_000n, reader);
      return verifyInclusion({
        leafHash,
        index: BigInt(i),
        size: 1_000n,
        path,
        root: anchored?.root ?? new Uint8Array(),
      });
    });
    expect([valid.length, anchored?.size]).toEqual([1_000, 1_000n]);
    const { rows } = await world.db.query('SELECT fee_tinybars AS fee, new_leaves AS leaves FROM anchors');
    const { fee, leaves: shared } = rows[0];
    expect(shared).toBe(1_000n);
    expect(Number(anchorCost(fee, shared).tinybarsPerProof)).toBeCloseTo(Number(fee) / 1_000, 3);
  });

  it('takes 100 bytes and not one more', async () => {
    const ledger = world.ledger();
    await expect(ledger.prepare('x'.repeat(100))).resolves.toBeDefined();
    await expect(ledger.prepare('x'.repeat(101))).rejects.toMatchObject({ code: 'ANCHOR_MESSAGE_TOO_LONG' });
  });

  it('finds the earlier anchor when an anchored root is asked for again', async () => {
    const anchor = await world.newAnchor(5);
    await world.drive(world.worker(), anchor);
    expect(await world.worker().prepareAnchor(anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(await world.drive(world.worker(), anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    const now = world.clock.nowMicros();
    expect(await inTransaction(world.db, (tx) => closeAnchorWindow(tx, { origin: ORIGIN, now }))).toBeUndefined();
    await expect(world.newAnchor(5)).rejects.toThrow(/duplicate key/);
    expect(world.messages()).toHaveLength(1);
  });
});
