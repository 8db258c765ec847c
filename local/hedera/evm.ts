/**
 * An Ethereum virtual machine at the level of Hedera's (Cancun, chain id 298), in memory. Contracts stand at the
 * addresses they are given. Gas is what was used: intrinsic, execution, code deposit, less refunds (EIP-3529).
 */
import { createCustomCommon, Hardfork, Mainnet } from '@ethereumjs/common';
import { createEVM, type EVM, type EVMResult } from '@ethereumjs/evm';
import { SimpleStateManager } from '@ethereumjs/statemanager';
import { Address } from '@ethereumjs/util';

export const CHAIN_ID = 298;
export const MAX_GAS = 15_000_000n;
const TRANSACTION_GAS = 21_000n;
const CREATE_GAS = 32_000n;
/** EIP-3860: per 32-byte word of initcode. */
const INITCODE_WORD_GAS = 2n;
const DEPOSIT_GAS = 200n;
const ZERO_BYTE_GAS = 4n;
const BYTE_GAS = 16n;
/** EIP-3529: at most a fifth of the gas is given back. */
const REFUND_QUOTIENT = 5n;

export interface EvmCall {
  /** 20 bytes each. `to`: the contract, or where a new one shall stand. */
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  /** Calldata, or initcode with its arguments. */
  readonly input: Uint8Array;
  readonly gasLimit: bigint;
  readonly value: bigint;
  /** Seconds; `block.timestamp`. */
  readonly timestamp: bigint;
  readonly blockNumber: bigint;
}

export interface EvmLog {
  readonly address: Uint8Array;
  readonly topics: readonly Uint8Array[];
  readonly data: Uint8Array;
}

export interface EvmResult {
  /** `halted`: an invalid instruction, a value it cannot pay, code that may not be deployed. */
  readonly outcome: 'success' | 'reverted' | 'out-of-gas' | 'halted';
  readonly gasUsed: bigint;
  /** What it returned or reverted with; of a creation the code. */
  readonly output: Uint8Array;
  readonly logs: readonly EvmLog[];
}

export interface Evm {
  /** Runs initcode at `to` and leaves there what it returns. */
  create(call: EvmCall): Promise<EvmResult>;
  call(call: EvmCall): Promise<EvmResult>;
  /** As `call`, static and without effect. */
  view(call: EvmCall): Promise<EvmResult>;
  code(address: Uint8Array): Promise<Uint8Array>;
}

export async function createEvm(): Promise<Evm> {
  const common = createCustomCommon({ chainId: CHAIN_ID, name: 'hedera-local' }, Mainnet, {
    hardfork: Hardfork.Cancun,
  });
  const evm = await createEVM({ common, stateManager: new SimpleStateManager({ common }) });
  return {
    async create(call) {
      const words = BigInt(Math.ceil(call.input.length / 32));
      const intrinsic = intrinsicGas(call.input) + CREATE_GAS + INITCODE_WORD_GAS * words;
      return run(evm, call, intrinsic, { code: call.input }, async (output, gasLeft) => {
        const deposit = DEPOSIT_GAS * BigInt(output.length);
        if (deposit > gasLeft) return undefined;
        await evm.stateManager.putCode(new Address(call.to), output);
        return deposit;
      });
    },
    call: (call) => run(evm, call, intrinsicGas(call.input), { data: call.input }),
    view: (call) => run(evm, call, intrinsicGas(call.input), { data: call.input, isStatic: true }),
    code: (address) => evm.stateManager.getCode(new Address(address)),
  };
}

/** EIP-2028. */
export function intrinsicGas(input: Uint8Array): bigint {
  return input.reduce((sum, byte) => sum + (byte === 0 ? ZERO_BYTE_GAS : BYTE_GAS), TRANSACTION_GAS);
}

/** What is put in `settle`'s hands succeeded; undefined takes it back for want of gas. */
async function run(
  evm: EVM,
  call: EvmCall,
  intrinsic: bigint,
  content: { readonly data?: Uint8Array; readonly code?: Uint8Array; readonly isStatic?: boolean },
  settle?: (output: Uint8Array, gasLeft: bigint) => Promise<bigint | undefined>,
): Promise<EvmResult> {
  if (call.gasLimit < intrinsic) return { outcome: 'out-of-gas', gasUsed: call.gasLimit, output: EMPTY, logs: [] };
  const outOfGas: EvmResult = { outcome: 'out-of-gas', gasUsed: call.gasLimit, output: EMPTY, logs: [] };
  await evm.journal.checkpoint();
  // No account here holds hbar, so a value would have to come from nowhere: it is passed on and given back at the end.
  const result = await evm.runCall({
    caller: new Address(call.from),
    to: new Address(call.to),
    gasLimit: call.gasLimit - intrinsic,
    value: call.value,
    skipBalance: true,
    ...content,
    block: blockOf(call),
  });
  const { execResult } = result;
  const used = intrinsic + execResult.executionGasUsed;
  const outcome = outcomeOf(result);
  const deposit =
    outcome === 'success'
      ? ((await settle?.(execResult.returnValue, call.gasLimit - used)) ?? (settle ? undefined : 0n))
      : 0n;
  const isKept = outcome === 'success' && deposit !== undefined && content.isStatic !== true;
  await (isKept ? evm.journal.commit() : evm.journal.revert());
  await evm.journal.cleanup();
  evm.transientStorage.clear();
  if (deposit === undefined) return outOfGas;
  const total = used + deposit;
  const refund = execResult.gasRefund ?? 0n;
  const cap = total / REFUND_QUOTIENT;
  return {
    outcome,
    gasUsed: total - (refund < cap ? refund : cap),
    output: execResult.returnValue,
    logs:
      outcome === 'success'
        ? (execResult.logs ?? []).map(([address, topics, data]) => ({ address, topics, data }))
        : [],
  };
}

const EMPTY = new Uint8Array();

function outcomeOf({ execResult: { exceptionError } }: EVMResult): EvmResult['outcome'] {
  switch (exceptionError?.error) {
    case undefined:
      return 'success';
    case 'revert':
      return 'reverted';
    case 'out of gas':
      return 'out-of-gas';
    default:
      return 'halted';
  }
}

function blockOf({ timestamp, blockNumber }: EvmCall) {
  return {
    header: {
      number: blockNumber,
      coinbase: new Address(new Uint8Array(20)),
      timestamp,
      difficulty: 0n,
      prevRandao: new Uint8Array(32),
      gasLimit: MAX_GAS,
      baseFeePerGas: 0n,
      getBlobGasPrice: () => 1n,
    },
  };
}
