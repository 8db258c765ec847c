import {
  AccountCreateTransaction,
  AccountUpdateTransaction,
  Client,
  Hbar,
  type Key,
  KeyList,
  PrivateKey,
  TopicCreateTransaction,
  TopicDeleteTransaction,
  TopicMessageSubmitTransaction,
  TopicUpdateTransaction,
  type Transaction,
  TransactionReceiptQuery,
  TransactionRecordQuery,
  TransferTransaction,
} from '@hashgraph/sdk';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseEntityId, parseLedgerTime } from '../../domain/ledger/entity-id.ts';
import { FIRST_PREV_RUNNING_HASH, runningHashV3 } from '../../domain/ledger/running-hash.ts';
import { handleTransaction } from './handle.ts';
import { privateKeyPem } from './random.ts';
import { messageBody } from './raw-client.ts';
import { publicKeyOf, signByEd25519, signTransaction } from './sign-transaction.ts';
import { type HederaSim, startHederaSim } from './start-hedera-sim.ts';
import { createLedgerState, type Topic } from './state.ts';
import { decodeTransaction } from './transaction.ts';
import { nanosToText } from './wire.ts';

let sim: HederaSim;
let client: Client;
const [admin, next] = [PrivateKey.generateED25519(), PrivateKey.generateECDSA()];

beforeAll(async () => {
  sim = await startHederaSim({ consensusDelayMs: 1, mirrorLagMs: 0 });
  client = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false });
  client.setOperator(sim.operatorId, await PrivateKey.fromPem(sim.operatorKey));
  client.setMinBackoff(5).setMaxBackoff(50).setNodeMinBackoff(5).setNodeMaxBackoff(20);
});
afterAll(async () => {
  client.close();
  await sim.stop();
});

/** What consensus made of it, signed by the operator and the keys. */
async function statusOf(transaction: Transaction, ...keys: PrivateKey[]) {
  transaction.freezeWith(client);
  for (const key of keys) await transaction.sign(key);
  const { transactionId } = await transaction.execute(client);
  const receipt = await new TransactionReceiptQuery()
    .setTransactionId(transactionId)
    .setValidateStatus(false)
    .execute(client);
  return { text: receipt.status.toString(), topicId: receipt.topicId, accountId: receipt.accountId };
}

async function createTopic(keys: { adminKey?: Key; submitKey?: Key }, ...signers: PrivateKey[]): Promise<string> {
  const create = new TopicCreateTransaction();
  if (keys.adminKey) create.setAdminKey(keys.adminKey);
  if (keys.submitKey) create.setSubmitKey(keys.submitKey);
  return String((await statusOf(create, ...signers)).topicId);
}

const message = (topic: string, text: string | Uint8Array = 'm') =>
  new TopicMessageSubmitTransaction().setTopicId(topic).setMessage(text).setMaxChunks(1);

describe('topics', () => {
  it('want the admin key to agree to its own role, old and new', async () => {
    expect((await statusOf(new TopicCreateTransaction().setAdminKey(admin.publicKey))).text).toBe('INVALID_SIGNATURE');
    const topic = await createTopic({ adminKey: admin.publicKey }, admin);
    const update = () => new TopicUpdateTransaction().setTopicId(topic).setAdminKey(next.publicKey);
    expect((await statusOf(update(), admin)).text).toBe('INVALID_SIGNATURE');
    expect((await statusOf(update(), next)).text).toBe('INVALID_SIGNATURE');
    expect((await statusOf(update(), admin, next)).text).toBe('SUCCESS');
    expect((await statusOf(new TopicUpdateTransaction().setTopicId(topic).setTopicMemo('x'), admin)).text).toBe(
      'INVALID_SIGNATURE',
    );
    expect((await statusOf(new TopicUpdateTransaction().setTopicId(topic).setTopicMemo('x'), next)).text).toBe(
      'SUCCESS',
    );
    expect(sim.ledger.state.topics.get(topic)?.memo).toBe('x');
  });

  it('rotate a submit key through a threshold of both', async () => {
    const topic = await createTopic({ adminKey: admin.publicKey, submitKey: admin.publicKey }, admin);
    const setKey = (key: Key) => statusOf(new TopicUpdateTransaction().setTopicId(topic).setSubmitKey(key), admin);
    const write = async (key: PrivateKey) => (await statusOf(message(topic), key)).text;
    expect([await write(admin), await write(next)]).toEqual(['SUCCESS', 'INVALID_SIGNATURE']);
    await setKey(new KeyList([admin.publicKey, next.publicKey], 1));
    expect([await write(admin), await write(next)]).toEqual(['SUCCESS', 'SUCCESS']);
    await setKey(next.publicKey);
    expect([await write(admin), await write(next)]).toEqual(['INVALID_SIGNATURE', 'SUCCESS']);
  });

  it('are deleted by the admin key alone, and without one never', async () => {
    const fixed = await createTopic({});
    expect((await statusOf(new TopicDeleteTransaction().setTopicId(fixed), admin)).text).toBe('UNAUTHORIZED');
    const topic = await createTopic({ adminKey: admin.publicKey }, admin);
    expect((await statusOf(new TopicDeleteTransaction().setTopicId(topic))).text).toBe('INVALID_SIGNATURE');
    expect((await statusOf(new TopicDeleteTransaction().setTopicId(topic), admin)).text).toBe('SUCCESS');
    expect((await statusOf(message(topic))).text).toBe('INVALID_TOPIC_ID');
    const shown = await (await fetch(`${sim.mirrorRestUrls[1]}/api/v1/topics/${topic}`)).json();
    expect(shown).toMatchObject({ deleted: true });
  });

  it('take 1,024 bytes and no more, once the fee is spent', async () => {
    const topic = await createTopic({});
    expect((await statusOf(message(topic, new Uint8Array(1_024).fill(7)))).text).toBe('SUCCESS');
    const tooLarge = message(topic, new Uint8Array(1_025).fill(7)).setChunkSize(2_000);
    expect((await statusOf(tooLarge)).text).toBe('MESSAGE_SIZE_TOO_LARGE');
    expect(sim.ledger.state.transactions.at(-1)?.chargedFee).toBeGreaterThan(0n);
    expect(sim.ledger.state.topics.get(topic)?.messages).toHaveLength(1);
  });

  it('keep the chunks of one message together: each a message, with the first one’s id', async () => {
    const topic = await createTopic({});
    const long = new TopicMessageSubmitTransaction().setTopicId(topic).setMessage('x'.repeat(25)).setChunkSize(10);
    await long.executeAll(client);
    const rows = () => sim.ledger.state.topics.get(topic)?.messages ?? [];
    while (rows().length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(rows().map(({ initialTransaction }) => [initialTransaction.number, initialTransaction.total])).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
    expect(new Set(rows().map(({ initialTransaction }) => initialTransaction.id)).size).toBe(1);
  });

  it('number and chain many messages at once, at increasing times, as anybody can recompute', async () => {
    const topic = await createTopic({});
    await Promise.all(Array.from({ length: 40 }, (_, i) => statusOf(message(topic, `message ${i}`))));
    const rows = sim.ledger.state.topics.get(topic)?.messages ?? [];
    const topicId = parseEntityId(topic);
    const payer = parseEntityId(sim.operatorId);
    let previous: Uint8Array = FIRST_PREV_RUNNING_HASH;
    for (const [i, row] of rows.entries()) {
      const consensusTimestamp = parseLedgerTime(nanosToText(row.consensusNanos));
      if (topicId === undefined || payer === undefined || consensusTimestamp === undefined)
        throw new Error('malformed');
      const sequenceNumber = BigInt(i + 1);
      const fields = { payer, topicId, consensusTimestamp, sequenceNumber, message: row.message };
      previous = runningHashV3({ prevRunningHash: previous, ...fields });
      expect(Buffer.from(row.runningHash).equals(previous)).toBe(true);
      if (i > 0) expect(row.consensusNanos).toBeGreaterThan(rows[i - 1]?.consensusNanos ?? 0n);
    }
    expect(rows).toHaveLength(40);
  });
});

describe('published running hashes', () => {
  /** What the ledger makes of messages of one topic, at given times. */
  async function replay(
    payer: string,
    topic: string,
    messages: readonly (readonly [bigint, string])[],
  ): Promise<Buffer[]> {
    const pem = privateKeyPem('published', payer);
    const key = { ed25519: publicKeyOf(pem) };
    const state = createLedgerState(publicKeyOf(pem), [], [{ id: payer, key, balanceTinybars: 10n ** 12n }]);
    const rows: Buffer[] = [];
    for (const [i, [consensusNanos, text]] of messages.entries()) {
      const content = {
        topic,
        payer,
        message: Buffer.from(text),
        startNanos: consensusNanos - 5_000_000_000n - BigInt(i),
      };
      const transaction = decodeTransaction(signTransaction(messageBody(sim, content), [signByEd25519(pem)]));
      if (transaction === undefined) throw new Error('malformed');
      if (i === 0)
        state.topics.set(topic, { ...(sim.ledger.state.topics.get(sim.treasury.createTopic({})) as Topic), id: topic });
      const handled = await handleTransaction(state, transaction, { consensusNanos, handledAtMs: 0 });
      rows.push(Buffer.from(handled.message?.runningHash ?? []));
    }
    return rows;
  }

  it('of three messages on testnet come out again', async () => {
    const hashes = await replay('0.0.2617920', '0.0.4603900', [
      [1_683_553_059_977_315_003n, 'Message 1'],
      [1_683_553_060_092_158_003n, 'Message 2'],
      [1_683_553_060_328_178_003n, 'Message 3'],
    ]);
    expect(hashes.map((hash) => hash.toString('base64'))).toEqual([
      'vKnW8bYSjhYtHtMNOJWrkfyv77kKc4EREDycKE2L37aU0SYlx+g6HB9ah7CTFSxl',
      'JM8LpmRwUVc+wiwzRHBgcCv8uJkbfan8BV2QPC0hBMgXA9KIvy8TwOoXsukgmeC+',
      'OL6EUxAayPsRiuhwflX5heRgIGEWmHcJU7bS2qBPeJNoOiMQmaY0H6G/pXJ7wGQz',
    ]);
  });

  it('of two messages hashed by a Java virtual machine come out again', async () => {
    const at = 1_700_000_000_123_456_789n;
    const hashes = await replay('0.0.1001', '0.0.2002', [
      [at, 'hello'],
      [at, 'hello'],
    ]);
    expect(hashes.map((hash) => hash.toString('hex'))).toEqual([
      '86a6cb44bfabab25ee364a15ca705bc55411b1fe7f4a2547784d7119af7b40008096040d7b7ac8f751630c00473b32fc',
      'd86560a9501c332ea19e47de2196890cd20250704c0587a5df1443fb7a74011ee16af51d51ebee85b4c451f7b32df58a',
    ]);
  });
});

describe('accounts', () => {
  it('of an ECDSA key pay, have its address, and change their key with both signatures', async () => {
    const created = await statusOf(
      new AccountCreateTransaction().setECDSAKeyWithAlias(next).setInitialBalance(new Hbar(10)),
      next,
    );
    const id = String(created.accountId);
    const shown = await (
      await fetch(`${sim.mirrorRestUrls[0]}/api/v1/accounts/0x${next.publicKey.toEvmAddress()}`)
    ).json();
    expect(shown).toMatchObject({
      account: id,
      key: { _type: 'ECDSA_SECP256K1' },
      balance: { balance: 1_000_000_000 },
    });
    const payer = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false }).setOperator(id, next);
    try {
      const sent = await message(await createTopic({})).execute(payer);
      expect((await sent.getReceipt(payer)).status.toString()).toBe('SUCCESS');
    } finally {
      payer.close();
    }
    const update = () => new AccountUpdateTransaction().setAccountId(id).setKey(admin.publicKey);
    expect((await statusOf(update(), next)).text).toBe('INVALID_SIGNATURE');
    expect((await statusOf(update(), next, admin)).text).toBe('SUCCESS');
  });

  it('move hbar to nobody’s gain but the fee’s, and not below nothing', async () => {
    const to = sim.treasury.createAccount({ publicKey: admin.publicKey.toBytesRaw(), balanceHbar: 1 });
    const transfer = (hbar: number) =>
      new TransferTransaction().addHbarTransfer(sim.operatorId, new Hbar(-hbar)).addHbarTransfer(to, new Hbar(hbar));
    expect((await statusOf(transfer(2))).text).toBe('SUCCESS');
    expect((await statusOf(transfer(-4))).text).toBe('INVALID_SIGNATURE');
    expect((await statusOf(transfer(-4), admin)).text).toBe('INSUFFICIENT_ACCOUNT_BALANCE');
    for (const { transfers } of sim.ledger.state.transactions)
      expect(transfers.reduce((sum, { amount }) => sum + amount, 0n)).toBe(0n);
    const balances = await fetch(`${sim.mirrorRestUrls[0]}/api/v1/balances?account.id=${to}`);
    expect(await balances.json()).toMatchObject({ balances: [{ account: to, balance: 300_000_000 }] });
  });
});

describe('fees', () => {
  /** In US dollars, at twelve cents an hbar. */
  const chargedFor = async (transaction: Transaction, ...keys: PrivateKey[]): Promise<number> => {
    await statusOf(transaction, ...keys);
    return (Number(sim.ledger.state.transactions.at(-1)?.chargedFee) / 100_000_000) * 0.12;
  };

  it.each<[string, number, () => Promise<number>]>([
    ['a message of 77 bytes', 0.00017, async () => chargedFor(message(await createTopic({}), 'x'.repeat(77)))],
    ['a message of 100 bytes', 0.00017, async () => chargedFor(message(await createTopic({}), 'x'.repeat(100)))],
    [
      'a message under a submit key of its own',
      0.00027,
      async () => chargedFor(message(await createTopic({ submitKey: admin.publicKey })), admin),
    ],
    ['a message of 1,024 bytes', 0.00079832, async () => chargedFor(message(await createTopic({}), 'x'.repeat(1_024)))],
    ['a topic', 0.01, () => chargedFor(new TopicCreateTransaction())],
    ['a topic with a key', 0.02, () => chargedFor(new TopicCreateTransaction().setSubmitKey(admin.publicKey))],
    [
      'a change of a topic',
      0.00032,
      async () =>
        chargedFor(
          new TopicUpdateTransaction().setTopicId(await createTopic({ adminKey: admin.publicKey }, admin)),
          admin,
        ),
    ],
  ])('for %s are $%d', async (_, usd, charge) => {
    expect(await charge()).toBeCloseTo(usd, 7);
  });

  it('are in the record and at the mirror as they were charged', async () => {
    const id = (await message(await createTopic({})).execute(client)).transactionId;
    await new TransactionReceiptQuery().setTransactionId(id).execute(client);
    const record = await new TransactionRecordQuery().setTransactionId(id).execute(client);
    expect(record.transactionFee.toTinybars().toNumber()).toBe(141_666);
    const path = 'transactions?limit=1&transactiontype=CONSENSUSSUBMITMESSAGE';
    const shown = await (await fetch(`${sim.mirrorRestUrls[0]}/api/v1/${path}`)).json();
    expect((shown as { transactions: unknown[] }).transactions[0]).toMatchObject({
      charged_tx_fee: 141_666,
      transfers: [
        { account: '0.0.2', amount: -141_666 },
        { account: '0.0.802', amount: 141_666 },
      ],
    });
  });
});
