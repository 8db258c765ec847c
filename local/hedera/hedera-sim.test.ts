import {
  AccountCreateTransaction,
  AccountId,
  Client,
  Hbar,
  PrecheckStatusError,
  PrivateKey,
  Status,
  Timestamp,
  TopicCreateTransaction,
  TopicInfoQuery,
  TopicMessageQuery,
  TopicMessageSubmitTransaction,
  TopicUpdateTransaction,
  Transaction,
  TransactionId,
  TransactionReceiptQuery,
  TransactionRecordQuery,
} from '@hashgraph/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { parseEntityId, parseLedgerTime } from '../../domain/ledger/entity-id.ts';
import { FIRST_PREV_RUNNING_HASH, runningHashV3 } from '../../domain/ledger/running-hash.ts';
import { type HederaSim, startHederaSim } from './start-hedera-sim.ts';

let sim: HederaSim;
let client: Client;

beforeAll(async () => {
  sim = await startHederaSim({ consensusDelayMs: 10, mirrorLagMs: 0 });
  client = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false });
  client.setMirrorNetwork([sim.mirrorGrpc]);
  client.setOperator(sim.operatorId, await PrivateKey.fromPem(sim.operatorKey));
  client.setMinBackoff(20).setMaxBackoff(100).setNodeMinBackoff(20).setNodeMaxBackoff(40);
});

afterEach(() => sim.faults.clear());

afterAll(async () => {
  client.close();
  await sim.stop();
});

async function mirror(path: string): Promise<{ status: number; body: Record<string, never> }> {
  const response = await fetch(`${sim.mirrorRestUrls[0]}/api/v1/${path}`);
  return { status: response.status, body: (await response.json()) as Record<string, never> };
}

/** A frozen, signed message whose validity starts `offsetMs` from now. */
function message(
  offsetMs: number,
  options: { seconds?: number; topicId?: string; node?: string; text?: string; maxFee?: Hbar } = {},
) {
  const start = new Date(sim.clock.nowMs() + offsetMs);
  return new TopicMessageSubmitTransaction()
    .setTopicId(options.topicId ?? '0.0.999999')
    .setMessage(options.text ?? 'hello')
    .setTransactionId(TransactionId.withValidStart(AccountId.fromString(sim.operatorId), Timestamp.fromDate(start)))
    .setTransactionValidDuration(options.seconds ?? 120)
    .setNodeAccountIds([AccountId.fromString(options.node ?? '0.0.3')])
    .setMaxTransactionFee(options.maxFee ?? new Hbar(1))
    .setRegenerateTransactionId(false)
    .freezeWith(client);
}

async function statusOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error === undefined ? 'OK' : error instanceof PrecheckStatusError ? error.status.toString() : String(error);
}

describe('a topic on the simulated network, by the unmodified SDK', () => {
  it('is created, written to, and answers with receipt, record and info', async () => {
    const submitKey = PrivateKey.generateED25519();
    const created = await new TopicCreateTransaction()
      .setSubmitKey(submitKey.publicKey)
      .setTopicMemo('log')
      .execute(client);
    const topicId = (await created.getReceipt(client)).topicId;
    if (topicId === null) throw new Error('no topic');

    const submit = new TopicMessageSubmitTransaction().setTopicId(topicId).setMessage('one').freezeWith(client);
    const sent = await (await submit.sign(submitKey)).execute(client);
    const receipt = await sent.getReceipt(client);
    expect(receipt.status).toBe(Status.Success);
    expect(receipt.topicSequenceNumber?.toString()).toBe('1');

    const record = await new TransactionRecordQuery().setTransactionId(sent.transactionId).execute(client);
    const time = record.consensusTimestamp;
    const consensusTimestamp = parseLedgerTime(`${time.seconds}.${time.nanos.toString().padStart(9, '0')}`);
    const [payer, topic] = [parseEntityId(sim.operatorId), parseEntityId(topicId.toString())];
    if (consensusTimestamp === undefined || payer === undefined || topic === undefined) throw new Error('malformed');
    const expected = runningHashV3({
      prevRunningHash: FIRST_PREV_RUNNING_HASH,
      payer,
      topicId: topic,
      consensusTimestamp,
      sequenceNumber: 1n,
      message: Buffer.from('one'),
    });
    expect(Buffer.from(receipt.topicRunningHash ?? []).equals(expected)).toBe(true);

    const info = await new TopicInfoQuery().setTopicId(topicId).execute(client);
    expect(info.topicMemo).toBe('log');
    expect(info.sequenceNumber.toString()).toBe('1');

    const row = await mirror(`topics/${topicId}/messages/1`);
    expect(row.body).toMatchObject({
      message: Buffer.from('one').toString('base64'),
      running_hash: Buffer.from(expected).toString('base64'),
      running_hash_version: 3,
      sequence_number: 1,
      payer_account_id: sim.operatorId,
      topic_id: topicId.toString(),
      chunk_info: { number: 1, total: 1 },
    });
    const found = await mirror(
      `transactions/${sent.transactionId
        .toString()
        .replace('@', '-')
        .replace(/\.(\d+)$/, '-$1')}`,
    );
    expect(found.body).toMatchObject({
      transactions: [
        {
          result: 'SUCCESS',
          entity_id: topicId.toString(),
          transaction_hash: Buffer.from(sent.transactionHash).toString('base64'),
        },
      ],
    });
  });

  it('streams its messages to a subscriber, history first', async () => {
    const topicId = sim.treasury.createTopic({});
    await (await new TopicMessageSubmitTransaction().setTopicId(topicId).setMessage('a').execute(client)).getReceipt(
      client,
    );
    const texts: string[] = [];
    const done = new Promise<void>((resolve, reject) => {
      const handle = new TopicMessageQuery()
        .setTopicId(topicId)
        .setStartTime(0)
        .subscribe(
          client,
          (_, error) => reject(error),
          (row) => {
            texts.push(Buffer.from(row.contents).toString());
            if (texts.length < 2) return;
            handle.unsubscribe();
            resolve();
          },
        );
    });
    await (await new TopicMessageSubmitTransaction().setTopicId(topicId).setMessage('b').execute(client)).getReceipt(
      client,
    );
    await done;
    expect(texts).toEqual(['a', 'b']);
  });

  it('changes its submit key by the admin key, with both keys during the overlap', async () => {
    const [admin, old, next] = [
      PrivateKey.generateED25519(),
      PrivateKey.generateED25519(),
      PrivateKey.generateED25519(),
    ];
    const create = new TopicCreateTransaction()
      .setAdminKey(admin.publicKey)
      .setSubmitKey(old.publicKey)
      .freezeWith(client);
    const { topicId } = await (await (await create.sign(admin)).execute(client)).getReceipt(client);
    if (topicId === null) throw new Error('no topic');
    const write = async (key: PrivateKey): Promise<string> => {
      const submit = await new TopicMessageSubmitTransaction()
        .setTopicId(topicId)
        .setMessage('x')
        .freezeWith(client)
        .sign(key);
      const { transactionId } = await submit.execute(client);
      const receipt = await new TransactionReceiptQuery()
        .setTransactionId(transactionId)
        .setValidateStatus(false)
        .execute(client);
      return receipt.status.toString();
    };
    expect([await write(old), await write(next)]).toEqual(['SUCCESS', 'INVALID_SIGNATURE']);
    const update = new TopicUpdateTransaction().setTopicId(topicId).setSubmitKey(next.publicKey).freezeWith(client);
    await (await (await update.sign(admin)).execute(client)).getReceipt(client);
    expect([await write(old), await write(next)]).toEqual(['INVALID_SIGNATURE', 'SUCCESS']);
  });

  it('keeps the network reachable after an update of the address book', async () => {
    await client.updateNetwork();
    expect(client.network).toEqual(
      Object.fromEntries(Object.entries(sim.nodes).map(([address, id]) => [address, AccountId.fromString(id)])),
    );
  });
});

describe('prechecks', () => {
  it.each([
    ['INVALID_TRANSACTION_DURATION', () => message(-5_000, { seconds: 10 })],
    ['TRANSACTION_EXPIRED', () => message(-200_000)],
    ['INVALID_TRANSACTION_START', () => message(60_000)],
    ['INSUFFICIENT_TX_FEE', () => message(-5_000, { maxFee: Hbar.fromTinybars(1) })],
  ])('refuse with %s', async (status, build) => {
    expect(await statusOf(build().execute(client))).toBe(status);
  });

  it('refuse a payer who did not sign, is unknown, or cannot pay', async () => {
    const poorKey = PrivateKey.generateED25519();
    const created = await new AccountCreateTransaction().setKeyWithoutAlias(poorKey.publicKey).execute(client);
    const poor = (await created.getReceipt(client)).accountId;
    const stranger = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false });
    const tryAs = async (account: string, key: PrivateKey): Promise<string> => {
      stranger.setOperator(account, key);
      return statusOf(new TopicMessageSubmitTransaction().setTopicId('0.0.999999').setMessage('x').execute(stranger));
    };
    try {
      expect(await tryAs(sim.operatorId, poorKey)).toBe('INVALID_SIGNATURE');
      expect(await tryAs('0.0.888888', poorKey)).toBe('PAYER_ACCOUNT_NOT_FOUND');
      expect(await tryAs(String(poor), poorKey)).toBe('INSUFFICIENT_PAYER_BALANCE');
    } finally {
      stranger.close();
    }
  });

  it('refuse the same transaction twice at one node, and let consensus refuse it at another', async () => {
    const topicId = sim.treasury.createTopic({});
    const first = message(-5_000, { topicId });
    await first.execute(client);
    expect(await statusOf(Transaction.fromBytes(first.toBytes()).execute(client))).toBe('DUPLICATE_TRANSACTION');
    const twins = [message(-4_000, { topicId }), message(-4_000, { topicId, node: '0.0.4' })];
    const id = TransactionId.withValidStart(
      AccountId.fromString(sim.operatorId),
      Timestamp.fromDate(new Date(sim.clock.nowMs() - 3_000)),
    );
    const sent = twins.map((_, i) =>
      new TopicMessageSubmitTransaction()
        .setTopicId(topicId)
        .setMessage('twin')
        .setTransactionId(id)
        .setNodeAccountIds([AccountId.fromString(i === 0 ? '0.0.3' : '0.0.4')])
        .execute(client),
    );
    await Promise.all(sent);
    await new TransactionReceiptQuery().setTransactionId(id).execute(client);
    const found = () => sim.ledger.state.byId.get(id.toString());
    while ((found()?.length ?? 0) < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(found()?.map((handled) => handled.status)).toEqual(['SUCCESS', 'DUPLICATE_TRANSACTION']);
    expect(sim.ledger.state.topics.get(topicId)?.messages).toHaveLength(2);
  });
});

describe('time', () => {
  it('forgets receipts 180 seconds after consensus', async () => {
    const clocked = await startHederaSim({ consensusDelayMs: 'manual', mirrorLagMs: 0 });
    try {
      const topicId = clocked.treasury.createTopic({});
      const created = clocked.ledger.state.transactions.at(-1);
      expect(clocked.ledger.receipt('0.0.4', created?.id ?? '').kind).toBe('handled');
      clocked.clock.advance(181_000);
      expect(clocked.ledger.receipt('0.0.4', created?.id ?? '').kind).toBe('unheard');
      expect(clocked.ledger.state.topics.get(topicId)).toBeDefined();
    } finally {
      await clocked.stop();
    }
  });
});
