import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AccountId,
  Client,
  ContractCallQuery,
  ContractCreateTransaction,
  ContractExecuteTransaction,
  ContractFunctionParameters,
  ContractId,
  Hbar,
  PrivateKey,
  type TransactionRecord,
} from '@hashgraph/sdk';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readArtefact } from '../../contracts/compile.ts';
import { REGISTRY_ERRORS } from '../../domain/ledger/checkpoint-registry.ts';
import { type HederaSim, startHederaSim } from './start-hedera-sim.ts';

const GAS = 200_000;
const artefact = readArtefact();
const folder = mkdtempSync(join(tmpdir(), 'hedera-evm-'));

let sim: HederaSim;
let client: Client;
let contractId: string;
let created: TransactionRecord;

beforeAll(async () => {
  await start();
  const response = await new ContractCreateTransaction()
    .setBytecode(Buffer.from(artefact.bytecode, 'hex'))
    .setConstructorParameters(new ContractFunctionParameters().addAddress(address(2n)).addAddress(address(2n)))
    .setGas(700_000)
    .setMaxTransactionFee(new Hbar(20))
    .execute(client);
  created = await response.getRecord(client);
  contractId = String(created.receipt.contractId);
});

afterAll(() => stop());

async function start(): Promise<void> {
  sim = await startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 0, mirrorCount: 1, dataFolder: folder });
  client = Client.forNetwork(sim.nodes, { scheduleNetworkUpdate: false })
    .setOperator(AccountId.fromString(sim.operatorId), PrivateKey.fromStringDer(toDer(sim.operatorKey)))
    .setMinBackoff(20)
    .setMaxBackoff(50);
}

async function stop(): Promise<void> {
  client.close();
  await sim.stop();
}

function toDer(pem: string): string {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64').toString('hex');
}

const address = (num: bigint): string => num.toString(16).padStart(40, '0');
const rootOf = (n: number): Uint8Array => Buffer.alloc(32, n);
const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`;

async function anchor(n: number, gas = GAS): Promise<TransactionRecord> {
  const response = await new ContractExecuteTransaction()
    .setContractId(ContractId.fromString(contractId))
    .setGas(gas)
    .setFunction(
      'anchor',
      new ContractFunctionParameters().addBytes32(rootOf(n)).addUint64(7).addUint64(42).addBytes32(rootOf(9)),
    )
    .execute(client);
  return response.getRecordQuery().setValidateReceiptStatus(false).execute(client);
}

async function mirror(path: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${sim.mirrorRestUrls[0]}/api/v1/${path}`);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const mirrorId = ({ transactionId }: TransactionRecord): string =>
  String(transactionId)
    .replace('@', '-')
    .replace(/\.(\d+)$/, '-$1');

describe('contracts, through the unmodified SDK', () => {
  it('are created at the address of their number, and shown by the mirror', async () => {
    const num = BigInt(contractId.split('.')[2] ?? 0);
    const { body } = await mirror(`contracts/${contractId}`);
    expect(body).toMatchObject({
      contract_id: contractId,
      evm_address: `0x${address(num)}`,
      runtime_bytecode: `0x${artefact.deployedBytecode}`,
    });
    expect((await mirror(`contracts/0x${address(num)}`)).body).toEqual(body);
    expect((await mirror(`contracts/results/${mirrorId(created)}`)).body).toMatchObject({
      result: 'SUCCESS',
      created_contract_ids: [contractId],
    });
    expect((await mirror('contracts/0.0.999999')).status).toBe(404);
  });

  it('run at the second of consensus, as the payer, and leave their events with the mirror', async () => {
    const record = await anchor(1);
    expect(record.receipt.status.toString()).toBe('SUCCESS');
    const seconds = BigInt(record.consensusTimestamp.seconds.toString());
    const got = await new ContractCallQuery()
      .setContractId(ContractId.fromString(contractId))
      .setGas(50_000)
      .setFunction('get', new ContractFunctionParameters().addBytes32(rootOf(1)))
      .execute(client);
    expect(got.getUint256(0).toString()).toBe(seconds.toString());
    expect([got.getUint256(1).toString(), got.getUint256(2).toString()]).toEqual(['7', '42']);
    const { body } = await mirror(`contracts/results/${mirrorId(record)}`);
    expect(body).toMatchObject({
      contract_id: contractId,
      from: `0x${address(2n)}`,
      status: '0x1',
      error_message: null,
      gas_used: Number(record.contractFunctionResult?.gasUsed),
    });
    const at = body.timestamp as string;
    const { body: found } = await mirror(
      `contracts/${contractId}/results/logs?topic0=${(body.logs as { topics: string[] }[])[0]?.topics[0]}&topic1=${hex(rootOf(1))}&timestamp=gte:${seconds}&timestamp=lte:${seconds + 1n}`,
    );
    expect(found.logs).toMatchObject([{ contract_id: contractId, timestamp: at, data: expect.stringMatching(/^0x/) }]);
    expect((await mirror(`contracts/${contractId}/results/logs?topic1=${hex(rootOf(1))}`)).status).toBe(400);
  });

  it('charge the gas that was used, and give back what was only reserved', async () => {
    const record = await anchor(2);
    const gas = Number(record.contractFunctionResult?.gasUsed);
    expect(gas).toBeGreaterThan(21_000);
    expect(gas).toBeLessThan(60_000);
    const fee = Number(record.transactionFee.toTinybars());
    expect(fee).toBe(Math.round((0.0001 / 0.12) * 1e8) + Math.round(((gas * 0.0000000852) / 0.12) * 1e8));
    expect((await mirror(`transactions/${mirrorId(record)}`)).body.transactions).toMatchObject([
      { charged_tx_fee: fee, entity_id: contractId, result: 'SUCCESS' },
    ]);
  });

  it('revert with their reason, which record and mirror show, and change nothing', async () => {
    const first = await anchor(3);
    const again = await anchor(3);
    expect(again.receipt.status.toString()).toBe('CONTRACT_REVERT_EXECUTED');
    const reason = again.contractFunctionResult?.errorMessage ?? '';
    expect(reason.slice(0, 10)).toBe(REGISTRY_ERRORS.AlreadyAnchored);
    expect(BigInt(`0x${reason.slice(74)}`)).toBe(BigInt(first.consensusTimestamp.seconds.toString()));
    expect((await mirror(`contracts/results/${mirrorId(again)}`)).body).toMatchObject({
      status: '0x0',
      result: 'CONTRACT_REVERT_EXECUTED',
      error_message: reason,
      logs: [],
    });
  });

  it('end for want of gas, refused beforehand or spent in vain', async () => {
    await expect(anchor(4, 20_000)).rejects.toThrow('INSUFFICIENT_GAS');
    await expect(anchor(4, 15_000_001)).rejects.toThrow('MAX_GAS_LIMIT_EXCEEDED');
    const record = await anchor(4, 40_000);
    expect(record.receipt.status.toString()).toBe('INSUFFICIENT_GAS');
    expect(Number(record.contractFunctionResult?.gasUsed)).toBe(40_000);
  });

  it('take no hbar that they do not accept', async () => {
    const response = await new ContractExecuteTransaction()
      .setContractId(ContractId.fromString(contractId))
      .setGas(GAS)
      .setPayableAmount(new Hbar(1))
      .setFunction('owner')
      .execute(client);
    const record = await response.getRecordQuery().setValidateReceiptStatus(false).execute(client);
    expect(record.receipt.status.toString()).toBe('CONTRACT_REVERT_EXECUTED');
    expect((await mirror(`accounts/${contractId}`)).body).toMatchObject({ balance: { balance: 0 } });
  });

  it('are there again after a restart, with what they hold, and refuse again what they refused', async () => {
    const before = await mirror(`contracts/results/${mirrorId(await anchor(3))}`);
    await stop();
    await start();
    const path = `contracts/results/${before.body.hash}`;
    // The hash of a block that is still open changes with what comes into it.
    const { block_hash: _, ...kept } = before.body;
    expect((await mirror(path)).body).toMatchObject(kept);
    expect((await anchor(1)).receipt.status.toString()).toBe('CONTRACT_REVERT_EXECUTED');
    expect((await anchor(5)).receipt.status.toString()).toBe('SUCCESS');
  });
});
