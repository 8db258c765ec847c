import { AccountId, Client, ContractExecuteTransaction, ContractId, PrivateKey } from '@hashgraph/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { deployRegistry } from '../../contracts/deploy.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { encodeAnchorCall, longZeroAddress, registryEntryOf } from '../../domain/ledger/checkpoint-registry.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import type { ContractConfig, LedgerConfig } from './ledger-config.ts';
import { createNewestEntry } from './newest-entry.ts';

const ORIGIN = 'newest.example/log';
const root = (size: bigint): Uint8Array => new Uint8Array(32).fill(Number(size));

let sim: HederaSim;
let client: Client;
let config: LedgerConfig & { contract: ContractConfig };

beforeAll(async () => {
  sim = await startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 0, mirrorCount: 1 });
  client = Client.forNetwork(sim.nodes, { scheduleNetworkUpdate: false }).setOperator(
    AccountId.fromString(sim.operatorId),
    await PrivateKey.fromPem(sim.operatorKey),
  );
});
afterAll(async () => {
  client.close();
  await sim.stop();
});

beforeEach(async () => {
  const address = longZeroAddress(2n);
  const { contractId } = await deployRegistry(client, { owner: address, publisher: address });
  config = {
    kind: 'hedera-hcs/v1',
    network: 'simulator',
    nodes: sim.nodes,
    mirrors: ['http://127.0.0.1:1', ...sim.mirrorRestUrls],
    mirrorQuorum: 1,
    topicId: '0.0.9',
    payerAccountId: sim.operatorId,
    payerKeyRef: 'signer://payer',
    maxFeeTinybars: '10000000',
    mirrorTimeoutMs: 1_000,
    contract: { contractId, gas: 120_000, maxFeeTinybars: '20000000' },
  };
});

async function publish(size: bigint, change: { origin?: string; meta?: string } = {}): Promise<void> {
  const { origin = ORIGIN, ...rest } = change;
  const entry = registryEntryOf(buildAnchorMessage({ origin, size, root: root(size) }));
  if (entry === undefined) throw new Error('no entry of our own message');
  await (
    await new ContractExecuteTransaction()
      .setContractId(ContractId.fromString(config.contract.contractId))
      .setGas(100_000)
      .setFunctionParameters(Buffer.from(encodeAnchorCall({ ...entry, ...rest }).slice(2), 'hex'))
      .execute(client)
  ).getReceipt(client);
}

async function read(changes: Partial<typeof config> = {}) {
  const newest = createNewestEntry({ ...config, ...changes }, ORIGIN);
  try {
    return await newest.read();
  } finally {
    newest.close();
  }
}

describe('the newest entry of the contract', () => {
  it('is none in an empty contract, then the largest tree, by whichever mirror answers', async () => {
    expect(await read()).toBeUndefined();
    for (const size of [4n, 9n, 7n]) await publish(size);
    expect(await read()).toEqual({ size: 9n, root: root(9n) });
  });

  it('passes over other logs, other publishers, and what no message of ours makes', async () => {
    await publish(3n);
    await publish(50n, { origin: 'other.example/log' });
    await publish(60n, { meta: `0x${'ab'.repeat(32)}` });
    expect(await read()).toEqual({ size: 3n, root: root(3n) });
    expect(await read({ payerAccountId: '0.0.3' })).toBeUndefined();
  });

  it('is not known while no mirror answers, or none shows the contract', async () => {
    const contract = { ...config.contract, contractId: '0.0.999999' };
    for (const change of [{ mirrors: ['http://127.0.0.1:1'] }, { contract }])
      await expect(read(change)).rejects.toMatchObject({ code: 'LEDGER_UNAVAILABLE' });
  });
});
