/**
 * The registry contract on the simulated ledger: deployed once through the SDK, as an operator does it, owned by the
 * treasury, published to by the account that pays. Found again after a restart by the very bytes that made it.
 */
import { initcodeOf } from '../../contracts/initcode.ts';
import { longZeroAddress } from '../../domain/ledger/checkpoint-registry.ts';
import { parseEntityId } from '../../domain/ledger/entity-id.ts';
import type { SettingUp } from './start-hedera-sim.ts';

const ANCHOR_FUNCTION = 'anchor(bytes32,uint64,uint64,bytes32)';
/** Twice what a call uses (`contracts/gas.json`). */
const CALL_GAS = 120_000;
/** Twice the price of that gas. */
const MAX_FEE_TINYBARS = '20000000';

/** What the ledger file says of the contract. */
export const registryEntry = (contractId: string) => ({
  contractId,
  gas: CALL_GAS,
  maxFeeTinybars: MAX_FEE_TINYBARS,
});

/** What the signer's policy says of it: the one function, and no more gas than the ledger file asks for. */
export const registryPolicy = (contractId: string) => ({
  maxFeeTinybars: MAX_FEE_TINYBARS,
  contracts: [{ id: contractId, functions: [ANCHOR_FUNCTION], maxGas: `${CALL_GAS}` }],
});

/** The contract's id; undefined without one where none is wanted. Throws the SDK's StatusError. */
export async function provisionRegistry(
  network: SettingUp,
  payerAccountId: string,
  isWanted: boolean,
): Promise<string | undefined> {
  const roles = { owner: addressOf(network.operatorId), publisher: addressOf(payerAccountId) };
  const initcode = Buffer.from(initcodeOf(roles));
  const standing = [...network.ledger.state.contracts.byId.values()].find((one) => initcode.equals(one.initcode));
  if (standing !== undefined || !isWanted) return standing?.id;
  // The SDK takes a second to load, and most starts deploy nothing.
  const { AccountId, Client, PrivateKey } = await import('@hashgraph/sdk');
  const { deployRegistry } = await import('../../contracts/deploy.ts');
  const client = Client.forNetwork({ ...network.nodes }, { scheduleNetworkUpdate: false });
  try {
    const key = await PrivateKey.fromPem(network.operatorKey);
    client.setOperator(AccountId.fromString(network.operatorId), key).setDefaultRegenerateTransactionId(false);
    return (await deployRegistry(client, roles)).contractId;
  } finally {
    client.close();
  }
}

function addressOf(account: string): string {
  return longZeroAddress(parseEntityId(account)?.num ?? 0n);
}
