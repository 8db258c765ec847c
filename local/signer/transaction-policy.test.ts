import {
  AccountId,
  ContractCreateTransaction,
  ContractExecuteTransaction,
  Hbar,
  type Transaction as HederaTransaction,
  PrivateKey,
  TopicCreateTransaction,
  TopicMessageSubmitTransaction,
  TransactionId,
  TransferTransaction,
} from '@hashgraph/sdk';
import { proto } from '@hiero-ledger/proto';
import { describe, expect, it } from '@jest/globals';
import { getBytes, Transaction, type TransactionLike } from 'ethers';
import Long from 'long';
import { selectorOf } from './contract-call.ts';
import { requireAllowedTransactions, type TransactionPolicy } from './transaction-policy.ts';

const POLICY: TransactionPolicy = {
  hedera: { topics: ['0.0.1001'], payers: ['0.0.1002'], maxFeeTinybars: '200000000' },
};
const PUBLIC_KEY = PrivateKey.generateED25519().publicKey;

/** The bodies that the SDK would have signed, one per node. */
async function bodiesOf(transaction: HederaTransaction, payer = '0.0.1002'): Promise<Uint8Array[]> {
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

const judge = (body: Uint8Array, policy = POLICY): void =>
  requireAllowedTransactions(policy, 'hedera', [body], Date.now());

const anchor = (message = 'pl1|example.org|5|root', topicId = '0.0.1001') =>
  new TopicMessageSubmitTransaction({ topicId, message }).setMaxTransactionFee(new Hbar(2));

async function refusal(transaction: HederaTransaction, policy = POLICY, payer?: string): Promise<string> {
  try {
    requireAllowedTransactions(policy, 'hedera', await bodiesOf(transaction, payer), Date.now());
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
    expect(() => judge(unknownField)).toThrow('holds more than was read');
    const transfer = proto.TransactionBody.encode({ cryptoTransfer: { transfers: { accountAmounts: [] } } }).finish();
    expect(() => judge(Uint8Array.of(...transfer, ...body))).toThrow('holds more than was read');
    expect(() => judge(new Uint8Array([0xff, 0xff]))).toThrow('is not a transaction body');
    expect(() => judge(new Uint8Array())).toThrow('names no paying account');
  });

  it('names the transaction that it refuses among others', async () => {
    const bodies = [...(await bodiesOf(anchor())), ...(await bodiesOf(anchor('pl1|x', '0.0.9')))];
    expect(() => requireAllowedTransactions(POLICY, 'hedera', bodies, Date.now())).toThrow(
      expect.objectContaining({ code: 'policy_denied', extra: { index: 2 } }),
    );
  });

  it.each<[string, (body: proto.ITransactionBody) => void, string]>([
    ['no node', (b) => void delete b.nodeAccountID, 'names no node'],
    ['a node that is not listed', (b) => void Object.assign(b, { nodeAccountID: account(9) }), 'node 0.0.9'],
    ['five seconds', (b) => void Object.assign(b, { transactionValidDuration: { seconds: 5 } }), 'valid for 5 s'],
    ['an hour', (b) => void Object.assign(b, { transactionValidDuration: { seconds: 3_600 } }), 'valid for 3600 s'],
    ['another day', (b) => void startAt(b, Date.now() / 1_000 + 86_400), 'valid from 86400 s'],
    ['an hour ago', (b) => void startAt(b, Date.now() / 1_000 - 3_600), 'valid from -3600 s'],
    ['fees of others', (b) => void Object.assign(b, { maxCustomFees: [{ fees: [{ amount: 1 }] }] }), 'fees of others'],
    ['a batch', (b) => void Object.assign(b, { batchKey: { ed25519: new Uint8Array(32) } }), 'part of a batch'],
  ])('refuses an anchor for %s', async (_, change, reason) => {
    const [bytes = new Uint8Array()] = await bodiesOf(anchor());
    const body = proto.TransactionBody.decode(bytes);
    change(body);
    const nodes = { hedera: { ...POLICY.hedera, nodes: ['0.0.3'] } };
    expect(() => judge(proto.TransactionBody.encode(body).finish(), nodes)).toThrow(reason);
  });
});

const long = (value: number): Long => Long.fromNumber(value);
const account = (num: number): proto.IAccountID => ({ shardNum: long(0), realmNum: long(0), accountNum: long(num) });
function startAt(body: proto.ITransactionBody, seconds: number): void {
  const start = body.transactionID?.transactionValidStart;
  if (start) start.seconds = long(Math.round(seconds));
}

const ANCHOR = 'anchor(bytes32,uint64,uint64,bytes32)';
const REGISTRY = '0.0.2001';
const ADDRESS = `0x${'ab'.repeat(20)}`;

const call = (change: Partial<Record<'id' | 'gas' | 'name' | 'amount' | 'words', string | number>> = {}) => {
  const { id = REGISTRY, gas = 100_000, name = ANCHOR, amount = 0, words = 4 } = change;
  const data = Buffer.concat([selectorOf(`${name}`), new Uint8Array(32 * Number(words))]);
  return new ContractExecuteTransaction()
    .setContractId(`${id}`)
    .setGas(Number(gas))
    .setPayableAmount(Hbar.fromTinybars(Number(amount)))
    .setFunctionParameters(data)
    .setMaxTransactionFee(new Hbar(2));
};

describe('policy of contract calls on Hedera', () => {
  const policy: TransactionPolicy = {
    hedera: { ...POLICY.hedera, contracts: [{ id: REGISTRY, functions: [ANCHOR], maxGas: '200000' }] },
  };

  it('has the selector that the Ethereum ABI gives a function', () => {
    // The ABI specification's own example.
    expect(Buffer.from(selectorOf('baz(uint32,bool)')).toString('hex')).toBe('cdcd77c0');
  });

  it('allows the anchor function of the contract named, and nothing where no contract is', async () => {
    expect(await refusal(call(), policy)).toBe('allowed');
    expect(await refusal(call(), POLICY)).toBe(`body 0: contract ${REGISTRY} is not allowed`);
  });

  it.each<[string, Parameters<typeof call>[0], string]>([
    ['another contract', { id: '0.0.2002' }, 'contract 0.0.2002 is not allowed'],
    ['a contract by an address that is not named', { id: `0.0.${'cd'.repeat(20)}` }, 'is not allowed'],
    ['another function', { name: 'transferOwnership(address)', words: 1 }, 'is not allowed'],
    ['an argument too much', { words: 5 }, 'the call has 164 bytes, expected 132'],
    ['no argument', { words: 0 }, 'the call has 4 bytes, expected 132'],
    ['more gas', { gas: 200_001 }, 'gas 200001 exceeds 200000'],
    ['money', { amount: 1 }, 'the call sends 1 tinybars'],
  ])('refuses %s', async (_, change, reason) => {
    expect(await refusal(call(change), policy)).toContain(reason);
  });

  it('refuses a contract that is deployed', async () => {
    const deploy = new ContractCreateTransaction()
      .setGas(1)
      .setBytecodeFileId('0.0.7')
      .setMaxTransactionFee(new Hbar(1));
    expect(await refusal(deploy, policy)).toContain('contractCreateInstance is not allowed');
  });
});

describe('policy of Ethereum transactions', () => {
  const policy: TransactionPolicy = {
    ...POLICY,
    evm: {
      contracts: [
        { chainId: 296, address: ADDRESS, functions: [ANCHOR], maxGas: '200000', maxFeePerGas: '2000000000000' },
      ],
    },
  };
  const good: TransactionLike = {
    type: 2,
    chainId: 296,
    nonce: 7,
    to: ADDRESS,
    gasLimit: 100_000,
    maxFeePerGas: 1_000_000_000_000n,
    maxPriorityFeePerGas: 0,
    value: 0,
    data: `0x${Buffer.concat([selectorOf(ANCHOR), new Uint8Array(128).fill(7)]).toString('hex')}`,
  };
  const encode = (change: TransactionLike = {}): Uint8Array =>
    getBytes(Transaction.from({ ...good, ...change }).unsignedSerialized);
  const judgeEvm = (bytes: Uint8Array): void => requireAllowedTransactions(policy, 'evm', [bytes], 0);

  it('allows the anchor function of the contract named, as another library writes it', () => {
    expect(() => judgeEvm(encode())).not.toThrow();
  });

  it.each<[string, TransactionLike, string]>([
    ['another contract', { to: `0x${'cd'.repeat(20)}` }, 'is not allowed'],
    ['another chain', { chainId: 1 }, 'of chain 1 is not allowed'],
    ['a new contract', { to: null }, 'it creates a contract'],
    ['money', { value: 1 }, 'the call sends 1 wei'],
    ['more gas', { gasLimit: 200_001 }, 'gas 200001'],
    ['a higher fee', { maxFeePerGas: 2_000_000_000_001n }, 'exceeds 2000000000000 wei'],
    ['an access list', { accessList: [{ address: ADDRESS, storageKeys: [] }] }, 'it has an access list'],
    ['another function', { data: `0x${'00'.repeat(132)}` }, 'function 0x00000000 is not allowed'],
    [
      'a transaction of type 0',
      { type: 0, gasPrice: 1, maxFeePerGas: null, maxPriorityFeePerGas: null },
      'not of type 2',
    ],
  ])('refuses %s', (_, change, reason) => {
    expect(() => judgeEvm(encode(change))).toThrow(reason);
  });

  it('refuses every other spelling of the same', () => {
    const bytes = encode();
    expect(() => judgeEvm(Uint8Array.of(...bytes, 0))).toThrow('bytes after the end');
    expect(() => judgeEvm(bytes.subarray(0, bytes.length - 1))).toThrow('is no EIP-1559 transaction');
    // The list's length with a leading zero.
    expect(bytes[1]).toBe(0xf8);
    expect(() => judgeEvm(Uint8Array.of(2, 0xf9, 0, ...bytes.subarray(2)))).toThrow('shortest form');
    // The chain id with a leading zero, in a list one byte longer.
    const padded = Uint8Array.of(2, 0xf8, (bytes[2] ?? 0) + 1, 0x83, 0, ...bytes.subarray(4));
    expect(() => judgeEvm(padded)).toThrow('a number not in its form');
  });
});
