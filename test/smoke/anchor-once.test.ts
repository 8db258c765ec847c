import { AccountId, Client, PrivateKey } from '@hashgraph/sdk';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { LedgerConfig } from '../../activities/ledger/ledger-config.ts';
import { deployRegistry } from '../../contracts/deploy.ts';
import { longZeroAddress } from '../../domain/ledger/checkpoint-registry.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import { newLedgerKey, resolveFrom } from '../support/ledger-keys.ts';
import { networkOf, newPayer } from '../support/simulated-ledger.ts';
import { anchorInContract, anchorOnTopic, type SmokeOptions } from './anchor-once.ts';

const keys = { 'hedera-payer': newLedgerKey(), 'hedera-submit': newLedgerKey() };
let sim: HederaSim;
let options: SmokeOptions;

beforeAll(async () => {
  sim = await startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 20, mirrorCount: 2 });
  const payerAccountId = newPayer(sim, keys['hedera-payer']);
  const client = Client.forNetwork(sim.nodes, { scheduleNetworkUpdate: false }).setOperator(
    AccountId.fromString(sim.operatorId),
    await PrivateKey.fromPem(sim.operatorKey),
  );
  const publisher = longZeroAddress(BigInt(payerAccountId.split('.')[2] ?? 0));
  const { contractId } = await deployRegistry(client, { owner: longZeroAddress(2n), publisher });
  client.close();
  const config: LedgerConfig = {
    ...networkOf(sim),
    topicId: sim.treasury.createTopic({ submitKey: keys['hedera-submit'].publicKey }),
    payerAccountId,
    payerKeyRef: 'signer://hedera-payer',
    submitKeyRef: 'signer://hedera-submit',
    maxFeeTinybars: '5000000',
    contract: { contractId, gas: 120_000, maxFeeTinybars: '20000000' },
  };
  options = { config, keys: resolveFrom(keys), withinMs: 10_000, pauseMs: 20 };
});
afterAll(() => sim.stop());

// What `testnet.test.ts` does on a real network, here on the simulated one, so that it works when somebody asks for it.
describe('the smoke test', () => {
  it('finds a message on the topic valid', async () => {
    const { entry, answer } = await anchorOnTopic(options);
    expect([entry.ledger, answer.verdict]).toEqual(['hedera-hcs/v1', 'valid']);
  });

  it('finds an entry of the contract valid', async () => {
    const { entry, answer } = await anchorInContract(options);
    expect([entry.ledger, answer.verdict]).toEqual(['hedera-contract/v1', 'valid']);
  });
});
