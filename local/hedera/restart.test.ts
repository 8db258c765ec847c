import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, PrivateKey, TopicMessageSubmitTransaction } from '@hashgraph/sdk';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parseEntityId, parseLedgerTime } from '../../domain/ledger/entity-id.ts';
import { runningHashV3 } from '../../domain/ledger/running-hash.ts';
import { provision } from './provision.ts';
import { type HederaSim, startHederaSim } from './start-hedera-sim.ts';
import { nanosToText } from './wire.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hedera-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const start = (): Promise<HederaSim> => startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 0, dataFolder: folder });

async function submit(sim: HederaSim, topicId: string, text: string): Promise<void> {
  const client = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false });
  try {
    client.setOperator(sim.operatorId, await PrivateKey.fromPem(sim.operatorKey));
    client.setMinBackoff(5).setMaxBackoff(20);
    await (await new TopicMessageSubmitTransaction().setTopicId(topicId).setMessage(text).execute(client)).getReceipt(
      client,
    );
  } finally {
    client.close();
  }
}

describe('a restarted network', () => {
  it('goes on with sequence numbers, running hashes, accounts and keys', async () => {
    let sim = await start();
    const topicId = sim.treasury.createTopic({});
    await submit(sim, topicId, 'one');
    const before = { ...sim.ledger.state, operatorKey: sim.operatorKey };
    await sim.stop();

    sim = await start();
    try {
      expect(sim.operatorKey).toBe(before.operatorKey);
      expect(sim.ledger.state.topics.get(topicId)).toEqual({
        ...before.topics.get(topicId),
        createdAtMs: expect.any(Number),
        messages: [expect.objectContaining({ sequenceNumber: 1n })],
      });
      expect(sim.ledger.state.accounts).toEqual(before.accounts);
      await submit(sim, topicId, 'two');
      const [first, second] = sim.ledger.state.topics.get(topicId)?.messages ?? [];
      const payer = parseEntityId(sim.operatorId);
      const topic = parseEntityId(topicId);
      if (first === undefined || second === undefined || payer === undefined || topic === undefined)
        throw new Error('lost');
      const consensusTimestamp = parseLedgerTime(nanosToText(second.consensusNanos));
      if (consensusTimestamp === undefined) throw new Error('no time');
      const expected = runningHashV3({
        prevRunningHash: first.runningHash,
        payer,
        topicId: topic,
        consensusTimestamp,
        sequenceNumber: 2n,
        message: Buffer.from('two'),
      });
      expect(Buffer.from(second.runningHash).equals(expected)).toBe(true);
    } finally {
      await sim.stop();
    }
  });

  it('cuts off a line that a crash tore', async () => {
    let sim = await start();
    sim.treasury.createTopic({});
    const { length } = sim.ledger.state.transactions;
    await sim.stop();
    appendFileSync(join(folder, 'ledger.ndjson'), '{"at":"17');
    sim = await start();
    sim.treasury.createTopic({});
    await sim.stop();
    sim = await start();
    expect(sim.ledger.state.transactions).toHaveLength(length + 1);
    await sim.stop();
  });

  it('has forgotten what a reset took away, and nothing after it', async () => {
    let sim = await start();
    const { operatorKey } = sim;
    sim.treasury.createTopic({ memo: 'before' });
    sim.reset();
    sim.treasury.createTopic({ memo: 'after' });
    await sim.stop();
    sim = await start();
    expect(sim.operatorKey).toBe(operatorKey);
    expect([...sim.ledger.state.topics.values()].map(({ id, memo }) => [id, memo])).toEqual([['0.0.1001', 'after']]);
    await sim.stop();
  });

  it('finds the account and the topic of the same keys again', async () => {
    const keys = { payer: new Uint8Array(32).fill(1), submit: new Uint8Array(32).fill(2) };
    let sim = await start();
    const first = provision(sim, keys);
    expect(provision(sim, keys)).toEqual(first);
    await sim.stop();
    sim = await start();
    expect(provision(sim, keys)).toEqual(first);
    expect(provision(sim, { ...keys, submit: new Uint8Array(32).fill(3) }).topicId).not.toBe(first.topicId);
    await sim.stop();
  });
});
