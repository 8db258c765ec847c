/** Calls of contracts by the text of a function, so that a policy can be read: `anchor(bytes32,uint64,uint64,bytes32)`. */
import { keccak_256 } from '@noble/hashes/sha3.js';

export interface AllowedCall {
  /** Signatures in the form of the ABI; arguments of fixed length alone, one word each. */
  readonly functions: readonly string[];
  /** Upper bound of the gas of a call, decimal. */
  readonly maxGas: string;
}

const FUNCTION =
  /^[A-Za-z_$][A-Za-z0-9_$]*\(((?:bytes32|u?int[0-9]{1,3}|address|bool)(?:,(?:bytes32|u?int[0-9]{1,3}|address|bool))*)?\)$/;
const SELECTOR_BYTES = 4;
const WORD_BYTES = 32;

/** Throws unless a policy can hold it. */
export function requireAllowedCall({ functions, maxGas }: AllowedCall): void {
  const bad = functions.find((text) => !FUNCTION.test(text));
  if (bad !== undefined) throw new Error(`${bad} is not a function of words`);
  if (!/^[1-9][0-9]{0,11}$/.test(maxGas)) throw new Error('maxGas is a decimal number');
}

/** Why the call is not one of those allowed. */
export function findCallRefusal(allowed: AllowedCall, gas: bigint, data: Uint8Array): string | undefined {
  if (gas <= 0n || gas > BigInt(allowed.maxGas)) return `gas ${gas} exceeds ${allowed.maxGas}`;
  const selector = Buffer.from(data.subarray(0, SELECTOR_BYTES));
  const called = allowed.functions.find((text) => selector.equals(selectorOf(text)));
  if (called === undefined) return `function 0x${selector.toString('hex')} is not allowed`;
  const words = FUNCTION.exec(called)?.[1]?.split(',').length ?? 0;
  const expected = SELECTOR_BYTES + words * WORD_BYTES;
  return data.length === expected ? undefined : `the call has ${data.length} bytes, expected ${expected}`;
}

/** The first four bytes of Keccak-256 over the signature. */
export function selectorOf(text: string): Uint8Array {
  return keccak_256(Buffer.from(text, 'ascii')).subarray(0, SELECTOR_BYTES);
}
