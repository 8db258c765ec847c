/** An unsigned EIP-1559 transaction: 0x02 and the RLP of nine fields, in its one spelling. */

export interface EvmTransaction {
  readonly chainId: bigint;
  readonly nonce: bigint;
  readonly maxPriorityFeePerGas: bigint;
  readonly maxFeePerGas: bigint;
  readonly gas: bigint;
  /** Lower-case hex with 0x. */
  readonly to: string;
  readonly value: bigint;
  readonly data: Uint8Array;
}

type Item = Uint8Array | readonly Item[];

const TYPE = 0x02;
const FIELDS = 9;
const ADDRESS_BYTES = 20;

/** Throws Error on whatever is not exactly that; a transaction with an access list is refused too. */
export function readEvmTransaction(bytes: Uint8Array): EvmTransaction {
  if (bytes[0] !== TYPE) throw new Error('not of type 2');
  const { item, end } = readItem(bytes, 1, 0);
  if (end !== bytes.length) throw new Error('bytes after the end');
  if (item instanceof Uint8Array || item.length !== FIELDS) throw new Error(`not ${FIELDS} fields`);
  const [chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gas, to, value, data, accessList] = item;
  if (!(to instanceof Uint8Array) || to.length !== ADDRESS_BYTES) throw new Error('it creates a contract');
  if (!(data instanceof Uint8Array)) throw new Error('data is a list');
  if (accessList instanceof Uint8Array || accessList === undefined || accessList.length !== 0)
    throw new Error('it has an access list');
  return {
    chainId: integer(chainId),
    nonce: integer(nonce),
    maxPriorityFeePerGas: integer(maxPriorityFeePerGas),
    maxFeePerGas: integer(maxFeePerGas),
    gas: integer(gas),
    to: `0x${Buffer.from(to).toString('hex')}`,
    value: integer(value),
    data,
  };
}

/** One item of RLP (Yellow Paper, appendix B) in its shortest form. */
function readItem(bytes: Uint8Array, at: number, depth: number): { readonly item: Item; readonly end: number } {
  const head = bytes[at];
  if (head === undefined || depth > 3) throw new Error('cut off, or nested too deeply');
  if (head < 0x80) return { item: bytes.subarray(at, at + 1), end: at + 1 };
  const isList = head >= 0xc0;
  const short = head - (isList ? 0xc0 : 0x80);
  const lengthBytes = Math.max(0, short - 55);
  const from = at + 1 + lengthBytes;
  const length = lengthBytes === 0 ? short : readLength(bytes.subarray(at + 1, from), lengthBytes);
  const end = from + length;
  if (end > bytes.length) throw new Error('cut off');
  if (!isList) {
    if (length === 1 && (bytes[from] as number) < 0x80) throw new Error('a byte not in its shortest form');
    return { item: bytes.subarray(from, end), end };
  }
  const items: Item[] = [];
  let next = from;
  while (next < end) {
    const read = readItem(bytes.subarray(0, end), next, depth + 1);
    items.push(read.item);
    next = read.end;
  }
  return { item: items, end };
}

function readLength(bytes: Uint8Array, count: number): number {
  if (bytes.length !== count || count > 3 || bytes[0] === 0) throw new Error('a length not in its shortest form');
  const length = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  if (length <= 55) throw new Error('a length not in its shortest form');
  return length;
}

function integer(item: Item | undefined): bigint {
  if (!(item instanceof Uint8Array) || item.length > 32 || item[0] === 0) throw new Error('a number not in its form');
  return item.length === 0 ? 0n : BigInt(`0x${Buffer.from(item).toString('hex')}`);
}
