/** Puts the committed byte code on a network, in one transaction. */
import { type Client, ContractCreateTransaction, Hbar, type TransactionId } from '@hashgraph/sdk';
import { longZeroAddress } from '../domain/ledger/checkpoint-registry.ts';
import { parseEntityId } from '../domain/ledger/entity-id.ts';
import { readArtefact } from './compile.ts';
import { constructorParametersOf, type RegistryRoles } from './initcode.ts';

/** `gas.json` says what it uses; the rest is not charged. */
const DEPLOY_GAS = 700_000;

export interface Deployment {
  readonly contractId: string;
  /** `0x` and 40 digits. */
  readonly address: string;
  readonly transactionId: string;
  readonly owner: string;
  readonly publisher: string;
}

/**
 * `owner` and `publisher` are addresses of 20 bytes. The client's operator pays, and has no right in the contract unless
 * it is one of them. Not idempotent: each call deploys another contract. Throws the SDK's StatusError.
 */
export async function deployRegistry(
  client: Client,
  input: RegistryRoles & { readonly maxFeeHbar?: number },
): Promise<Deployment> {
  const { owner, publisher, maxFeeHbar = 20 } = input;
  const response = await new ContractCreateTransaction()
    .setBytecode(Buffer.from(readArtefact().bytecode, 'hex'))
    .setConstructorParameters(constructorParametersOf(input))
    .setGas(DEPLOY_GAS)
    .setMaxTransactionFee(new Hbar(maxFeeHbar))
    .execute(client);
  const { contractId } = await response.getReceiptQuery().execute(client);
  const id = contractId?.toString() ?? '';
  const num = parseEntityId(id)?.num;
  if (num === undefined) throw new Error('the receipt names no contract');
  const transactionId: TransactionId = response.transactionId;
  return { contractId: id, address: longZeroAddress(num), transactionId: transactionId.toString(), owner, publisher };
}
