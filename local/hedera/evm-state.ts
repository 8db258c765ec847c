/** What the simulated ledger knows of contracts, and what the virtual machine made of one transaction. */
import type { proto } from '@hiero-ledger/proto';
import { createEvm, type Evm, type EvmResult } from './evm.ts';

export interface Contract {
  readonly id: string;
  /** 20 bytes that end in the entity's number. */
  readonly address: Uint8Array;
  readonly createdNanos: bigint;
  readonly createdAtMs: number;
  readonly memo: string;
  readonly adminKey: proto.IKey | undefined;
  readonly initcode: Uint8Array;
  readonly code: Uint8Array;
}

export interface ContractRun {
  readonly contractId: string;
  readonly isCreation: boolean;
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly input: Uint8Array;
  readonly gasLimit: bigint;
  readonly amount: bigint;
  readonly result: EvmResult;
}

export interface Contracts {
  readonly byId: Map<string, Contract>;
  /** Made with the first call. */
  machine(): Promise<Evm>;
}

export function createContracts(): Contracts {
  let evm: Promise<Evm> | undefined;
  return {
    byId: new Map(),
    machine: () => {
      evm ??= createEvm();
      return evm;
    },
  };
}

/** The word that a record, and a mirror's `error_message`, has for what went wrong. */
export function errorMessageOf({ outcome, output }: EvmResult): string | undefined {
  switch (outcome) {
    case 'success':
      return undefined;
    case 'reverted':
      return `0x${Buffer.from(output).toString('hex')}`;
    case 'out-of-gas':
      return 'INSUFFICIENT_GAS';
    case 'halted':
      return 'INVALID_OPERATION';
  }
}
