/** The compiled contract on a virtual machine in this process, for the tests beside it. */
import { createEvm, type EvmLog, type EvmResult } from '../local/hedera/evm.ts';
import { readArtefact } from './compile.ts';

export const OWNER = address(0xa1);
export const PUBLISHER = address(0xb2);
export const STRANGER = address(0xc3);
const DEPLOYER = address(0xd4);
const CONTRACT = address(0x1001);
const GAS = 1_000_000n;

export type Value = bigint | boolean | string;

export interface Registry {
  readonly creation: EvmResult;
  /** Calls a function by its signature; words of 32 bytes each. */
  call(from: string, method: string, ...values: readonly Value[]): Promise<EvmResult>;
  /** The words that a view returns. */
  read(method: string, ...values: readonly Value[]): Promise<readonly bigint[]>;
  /** Calldata as it is, with hbar if wanted. */
  send(from: string, input: Uint8Array, value?: bigint): Promise<EvmResult>;
  setTime(seconds: bigint): void;
}

export const START = 1_700_000_000n;
const artefact = readArtefact();

export async function deployRegistry(owner: Value = OWNER, publisher: Value = PUBLISHER): Promise<Registry> {
  const evm = await createEvm();
  let timestamp = START;
  const to = bytesOf(CONTRACT);
  const about = (from: string) => ({
    from: bytesOf(from),
    to,
    gasLimit: GAS,
    value: 0n,
    timestamp,
    blockNumber: 1n,
  });
  const input = Buffer.from(artefact.bytecode + encode([owner, publisher]), 'hex');
  const creation = await evm.create({ ...about(DEPLOYER), input });
  return {
    creation,
    call: (from, method, ...values) => evm.call({ ...about(from), input: callOf(method, values) }),
    async read(method, ...values) {
      const result = await evm.view({ ...about(STRANGER), input: callOf(method, values) });
      if (result.outcome !== 'success') throw new Error(`${method} ended ${result.outcome}`);
      return wordsOf(result.output);
    },
    send: (from, bytes, value = 0n) => evm.call({ ...about(from), input: bytes, value }),
    setTime: (seconds) => {
      timestamp = seconds;
    },
  };
}

/** A refusal as `name` and the words after it. */
export function refusalOf({ outcome, output }: EvmResult): {
  outcome: string;
  selector: string;
  words: readonly bigint[];
} {
  return { outcome, selector: hexOf(output.subarray(0, 4)), words: wordsOf(output.subarray(4)) };
}

export function logOf({ topics, data }: EvmLog): { topics: readonly string[]; data: string } {
  return { topics: topics.map(hexOf), data: hexOf(data) };
}

export const hexOf = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`;
export const rootOf = (n: number): string => `0x${n.toString(16).padStart(64, '0')}`;

function callOf(method: string, values: readonly Value[]): Uint8Array {
  const selector = artefact.methods[method];
  if (selector === undefined) throw new Error(`the contract has no ${method}`);
  return Buffer.from(selector + encode(values), 'hex');
}

function encode(values: readonly Value[]): string {
  return values
    .map((value) => (typeof value === 'string' ? value.slice(2) : BigInt(value).toString(16)).padStart(64, '0'))
    .join('');
}

function wordsOf(bytes: Uint8Array): bigint[] {
  return Array.from({ length: Math.floor(bytes.length / 32) }, (_, i) =>
    BigInt(hexOf(bytes.subarray(32 * i, 32 * i + 32))),
  );
}

function address(num: number): string {
  return `0x${num.toString(16).padStart(40, '0')}`;
}

function bytesOf(hex: string): Uint8Array {
  return Buffer.from(hex.slice(2), 'hex');
}
