import { proto } from '@hiero-ledger/proto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { privateKeyPem } from './random.ts';
import { createRawClient, messageBody, type RawClient, signedMessage } from './raw-client.ts';
import { publicKeyOf, type SignBody, signByEd25519, signTransaction } from './sign-transaction.ts';
import { type HederaSim, startHederaSim } from './start-hedera-sim.ts';
import type { Status } from './wire.ts';

let sim: HederaSim;
let node: RawClient;
let topic: string;
let poor: string;
const poorKey = privateKeyPem('prechecks', 'poor');
const strangersKey = privateKeyPem('prechecks', 'stranger');

beforeAll(async () => {
  sim = await startHederaSim({ consensusDelayMs: 1, mirrorLagMs: 0 });
  node = createRawClient(Object.keys(sim.nodes)[0] ?? '');
  topic = sim.treasury.createTopic({});
  poor = sim.treasury.createAccount({ publicKey: publicKeyOf(poorKey), balanceHbar: 0 });
});
afterEach(() => sim.faults.clear());
afterAll(async () => {
  node.close();
  await sim.stop();
});

const byOperator = (): SignBody => signByEd25519(sim.operatorKey);
/** A message with something else in its body, signed by the operator. */
const altered = (change: (body: proto.ITransactionBody) => proto.ITransactionBody): Uint8Array =>
  signTransaction(change(messageBody(sim, { topic })), [byOperator()]);
const ordered = (status: Status, bytes = signedMessage(sim, { topic })): Uint8Array => {
  sim.faults.arm({ at: 'ingest', effect: { precheck: status } });
  return bytes;
};
const twice = async (): Promise<Uint8Array> => {
  const bytes = signedMessage(sim, { topic });
  await node.submit(bytes);
  return bytes;
};
const idOf = (body: proto.ITransactionBody, more: proto.ITransactionID): proto.ITransactionBody => ({
  ...body,
  transactionID: { ...body.transactionID, ...more },
});

describe('a node', () => {
  const ways: [Status, () => Uint8Array | Promise<Uint8Array>][] = [
    ['OK', () => signedMessage(sim, { topic })],
    ['PLATFORM_NOT_ACTIVE', () => ordered('PLATFORM_NOT_ACTIVE')],
    ['WAITING_FOR_LEDGER_ID', () => ordered('WAITING_FOR_LEDGER_ID')],
    ['TRANSACTION_OVERSIZE', () => signedMessage(sim, { topic, message: new Uint8Array(6_100) })],
    ['INVALID_TRANSACTION', () => new Uint8Array([0xff, 0xff])],
    [
      'KEY_PREFIX_MISMATCH',
      () => signTransaction(messageBody(sim, { topic }), [byOperator(), signByEd25519(sim.operatorKey, 4)]),
    ],
    ['INVALID_TRANSACTION_BODY', () => altered(({ consensusSubmitMessage: _, ...body }) => body)],
    ['INVALID_TRANSACTION_ID', () => altered((body) => idOf(body, { transactionValidStart: null }))],
    ['TRANSACTION_ID_FIELD_NOT_ALLOWED', () => altered((body) => idOf(body, { scheduled: true }))],
    ['MEMO_TOO_LONG', () => signedMessage(sim, { topic, memo: 'é'.repeat(51) })],
    ['INVALID_ZERO_BYTE_IN_STRING', () => signedMessage(sim, { topic, memo: 'a\0b' })],
    ['NOT_SUPPORTED', () => altered(({ consensusSubmitMessage: _, ...body }) => ({ ...body, utilPrng: {} }))],
    ['INVALID_NODE_ACCOUNT', () => signedMessage(sim, { topic, node: '0.0.4' })],
    ['INVALID_TRANSACTION_DURATION', () => signedMessage(sim, { topic, validSeconds: 14 })],
    ['INVALID_TRANSACTION_DURATION', () => signedMessage(sim, { topic, validSeconds: 181 })],
    ['TRANSACTION_EXPIRED', () => signedMessage(sim, { topic, startInMs: -110_001 })],
    ['INVALID_TRANSACTION_START', () => signedMessage(sim, { topic, startInMs: 10_000 })],
    ['DUPLICATE_TRANSACTION', twice],
    ['BUSY', () => ordered('BUSY')],
    ['INVALID_TOPIC_MESSAGE', () => signedMessage(sim, { topic, message: new Uint8Array() })],
    ['PAYER_ACCOUNT_NOT_FOUND', () => signedMessage(sim, { topic, payer: '0.0.888888' })],
    ['INVALID_SIGNATURE', () => signTransaction(messageBody(sim, { topic }), [signByEd25519(strangersKey)])],
    ['INVALID_SIGNATURE', () => signTransaction(messageBody(sim, { topic }), [])],
    ['INSUFFICIENT_TX_FEE', () => signedMessage(sim, { topic, maxFeeTinybars: 1n })],
    [
      'INSUFFICIENT_PAYER_BALANCE',
      () => signTransaction(messageBody(sim, { topic, payer: poor }), [signByEd25519(poorKey)]),
    ],
    ['PLATFORM_TRANSACTION_NOT_CREATED', () => ordered('PLATFORM_TRANSACTION_NOT_CREATED')],
  ];

  it.each(ways)('answers %s', async (status, build) => {
    expect(await node.submit(await build())).toBe(status);
  });

  it('accepts what is valid for another ten seconds, and a size of exactly 6,144 bytes', async () => {
    expect(await node.submit(signedMessage(sim, { topic, startInMs: -109_000 }))).toBe('OK');
    const empty = signedMessage(sim, { topic, message: new Uint8Array(5_000) }).length - 5_000;
    const message = new Uint8Array(6_144 - empty);
    expect(signedMessage(sim, { topic, message })).toHaveLength(6_144);
    expect(await node.submit(signedMessage(sim, { topic, message }))).toBe('OK');
  });

  it.each<[Status, string, () => Uint8Array]>([
    [
      'PLATFORM_NOT_ACTIVE',
      'before it looks at the bytes',
      () => ordered('PLATFORM_NOT_ACTIVE', new Uint8Array([0xff])),
    ],
    ['MEMO_TOO_LONG', 'before the node', () => signedMessage(sim, { memo: 'm'.repeat(101), node: '0.0.4' })],
    ['INVALID_NODE_ACCOUNT', 'before the time', () => signedMessage(sim, { node: '0.0.4', startInMs: 60_000 })],
    ['TRANSACTION_EXPIRED', 'before a throttle', () => ordered('BUSY', signedMessage(sim, { startInMs: -200_000 }))],
    ['BUSY', 'before the content', () => ordered('BUSY', signedMessage(sim, { message: new Uint8Array() }))],
    [
      'INVALID_TOPIC_MESSAGE',
      'before the payer',
      () => signedMessage(sim, { message: new Uint8Array(), payer: '0.0.888888' }),
    ],
    ['INVALID_SIGNATURE', 'before the fee', () => signTransaction(messageBody(sim, { maxFeeTinybars: 1n }), [])],
    [
      'INSUFFICIENT_TX_FEE',
      'before the queue',
      () => ordered('PLATFORM_TRANSACTION_NOT_CREATED', signedMessage(sim, { maxFeeTinybars: 1n })),
    ],
  ])('says %s %s', async (status, _, build) => {
    expect(await node.submit(build())).toBe(status);
  });

  it('does not take an id that it refused: the same bytes pass once the reason is gone', async () => {
    sim.faults.arm({ at: 'ingest', effect: { precheck: 'BUSY' }, times: 2 });
    const bytes = signedMessage(sim, { topic });
    const answers = [
      await node.submit(bytes),
      await node.submit(bytes),
      await node.submit(bytes),
      await node.submit(bytes),
    ];
    expect(answers).toEqual(['BUSY', 'BUSY', 'OK', 'DUPLICATE_TRANSACTION']);
  });

  it('answers NOT_SUPPORTED to every other transaction and query, and never hangs', async () => {
    const bytes = altered(({ consensusSubmitMessage: _, ...body }) => ({ ...body, tokenCreation: {} }));
    expect(await node.submit(bytes, 'TokenService/createToken')).toBe('NOT_SUPPORTED');
    const { tokenGetInfo } = await node.ask({ tokenGetInfo: {} }, 'TokenService/getTokenInfo');
    expect(tokenGetInfo?.header?.nodeTransactionPrecheckCode).toBe(13);
    const { fileGetContents } = await node.ask({ fileGetContents: {} }, 'FileService/getFileContent');
    expect(fileGetContents?.header?.nodeTransactionPrecheckCode).toBe(13);
  });
});

describe('paid queries', () => {
  const topicInfo = async (header: proto.IQueryHeader) => {
    const [shardNum, realmNum, topicNum] = topic.split('.').map(Number);
    const topicID = { shardNum: shardNum ?? 0, realmNum: realmNum ?? 0, topicNum: topicNum ?? 0 };
    const query = { consensusGetTopicInfo: { header, topicID } } as unknown as proto.IQuery;
    const { consensusGetTopicInfo: answer } = await node.ask(query, 'ConsensusService/getTopicInfo');
    return {
      code: answer?.header?.nodeTransactionPrecheckCode,
      cost: Number(answer?.header?.cost),
      isAnswered: answer?.topicInfo != null,
    };
  };

  it('tell their cost, want a payment for an answer, and take any that is well-formed', async () => {
    const { consensusSubmitMessage: _, ...body } = messageBody(sim);
    const bytes = signTransaction({ ...body, cryptoTransfer: {} }, [byOperator()]);
    const payment = proto.Transaction.decode(bytes);
    expect(await topicInfo({ responseType: 2 })).toEqual({ code: 0, cost: 83_333, isAnswered: false });
    expect(await topicInfo({ responseType: 0 })).toEqual({ code: 9, cost: 83_333, isAnswered: false });
    expect(await topicInfo({ responseType: 0, payment })).toEqual({ code: 0, cost: 83_333, isAnswered: true });
  });

  it('leave balances free, until they are throttled to nothing', async () => {
    const query = { cryptogetAccountBalance: { accountID: { accountNum: 2 } } } as unknown as proto.IQuery;
    const code = async () =>
      (await node.ask(query, 'CryptoService/cryptoGetBalance')).cryptogetAccountBalance?.header
        ?.nodeTransactionPrecheckCode;
    expect(await code()).toBe(0);
    sim.areBalancesBusy = true;
    expect(await code()).toBe(12);
    sim.areBalancesBusy = false;
    expect(await code()).toBe(0);
  });
});
