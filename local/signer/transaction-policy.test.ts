import {
  AccountId,
  Hbar,
  PrivateKey,
  TopicCreateTransaction,
  TopicMessageSubmitTransaction,
  type Transaction,
  TransactionId,
  TransferTransaction,
} from '@hashgraph/sdk';
import { proto } from '@hiero-ledger/proto';
import { describe, expect, it } from '@jest/globals';
import { requireAllowedBody, type TransactionPolicy } from './transaction-policy.ts';

const POLICY: TransactionPolicy = {
  hedera: { topics: ['0.0.1001'], payers: ['0.0.1002'], maxFeeTinybars: '200000000' },
};
const PUBLIC_KEY = PrivateKey.generateED25519().publicKey;

/** The bodies that the SDK would have signed, one per node. */
async function bodiesOf(transaction: Transaction, payer = '0.0.1002'): Promise<Uint8Array[]> {
  const bodies: Uint8Array[] = [];
  await transaction
    .setTransactionId(TransactionId.generate(payer))
    .setNodeAccountIds([AccountId.fromString('0.0.3'), AccountId.fromString('0.0.4')])
    .freeze()
    .signWith(PUBLIC_KEY, async (body) => {
      bodies.push(body);
      return new Uint8Array(64);
    });
  return bodies;
}

const anchor = (message = 'pl1|example.org|5|root', topicId = '0.0.1001') =>
  new TopicMessageSubmitTransaction({ topicId, message }).setMaxTransactionFee(new Hbar(2));

async function refusal(transaction: Transaction, policy = POLICY, payer?: string): Promise<string> {
  try {
    for (const [index, body] of (await bodiesOf(transaction, payer)).entries()) requireAllowedBody(policy, body, index);
    return 'allowed';
  } catch (cause) {
    expect(cause).toEqual(expect.objectContaining({ code: 'policy_denied' }));
    return (cause as Error).message;
  }
}

describe('policy of ledger transactions', () => {
  it('allows an anchor message as the SDK builds it, for every node', async () => {
    expect(await bodiesOf(anchor())).toHaveLength(2);
    expect(await refusal(anchor())).toBe('allowed');
    expect(await refusal(anchor(`pl1|${'a'.repeat(96)}`))).toBe('allowed');
  });

  it.each([
    ['another topic', () => anchor('pl1|x', '0.0.1003'), 'topic 0.0.1003 is not allowed'],
    ['a message that is no anchor', () => anchor('hello'), 'the message is not an anchor'],
    ['a message of 101 bytes', () => anchor(`pl1|${'a'.repeat(97)}`), 'the message has 101 bytes, at most 100'],
    [
      'a fee above the cap',
      () => anchor().setMaxTransactionFee(new Hbar(3)),
      'fee 300000000 exceeds 200000000 tinybars',
    ],
    [
      'a transfer',
      () => new TransferTransaction().addHbarTransfer('0.0.1002', -1).addHbarTransfer('0.0.5', 1),
      'cryptoTransfer is not allowed',
    ],
    ['a new topic', () => new TopicCreateTransaction().setMaxTransactionFee(new Hbar(1)), 'topics are not created now'],
  ])('refuses %s', async (_, make, reason) => {
    expect(await refusal(make())).toBe(`body 0: ${reason}`);
  });

  it('refuses a payer who is not named', async () => {
    expect(await refusal(anchor(), POLICY, '0.0.2')).toBe('body 0: payer 0.0.2 is not allowed');
  });

  it('allows a new topic only while the switch is on', async () => {
    const open = { hedera: { ...POLICY.hedera, allowTopicCreation: true } };
    expect(await refusal(new TopicCreateTransaction().setMaxTransactionFee(new Hbar(1)), open)).toBe('allowed');
  });

  it('refuses a body that holds more than it reads, and what is no body', async () => {
    const [body = new Uint8Array()] = await bodiesOf(anchor());
    const unknownField = Uint8Array.of(...body, 0xba, 0x3e, 0x01, 0x00);
    expect(() => requireAllowedBody(POLICY, unknownField, 0)).toThrow('holds more than was read');
    const transfer = proto.TransactionBody.encode({ cryptoTransfer: { transfers: { accountAmounts: [] } } }).finish();
    expect(() => requireAllowedBody(POLICY, Uint8Array.of(...transfer, ...body), 0)).toThrow(
      'holds more than was read',
    );
    expect(() => requireAllowedBody(POLICY, new Uint8Array([0xff, 0xff]), 0)).toThrow('is not a transaction body');
    expect(() => requireAllowedBody(POLICY, new Uint8Array(), 0)).toThrow('names no paying account');
  });
});
