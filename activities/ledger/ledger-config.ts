/**
 * Where and how to anchor: the file that `PROOFLINE_LEDGER_FILE` names, JSON, read once at start and refused whole.
 * It holds no secret: keys are named by their id at the signer.
 */
import { ProoflineError } from '../../domain/errors.ts';
import { parseEntityId } from '../../domain/ledger/entity-id.ts';
import { list, object, oneOf, positive, type Read, ShapeFault, text } from '../../domain/shape.ts';
import { parseStrictJson } from '../../domain/strict-json.ts';
import { parseKeyRef } from './key-resolver.ts';

export interface LedgerConfig {
  readonly kind: 'hedera-hcs/v1';
  /** `mainnet`, `testnet`, `previewnet`, or another name such as `simulator`; shown wherever the anchor is. */
  readonly network: string;
  /** `host:port` → node account. May be empty for the three public networks: then the SDK's own address book serves. */
  readonly nodes: Readonly<Record<string, string>>;
  /** REST base URLs without `/api/v1`, run by different parties in production. */
  readonly mirrors: readonly string[];
  /** How many mirrors must show the same message before an anchor counts; at most as many as there are. */
  readonly mirrorQuorum: number;
  readonly topicId: string;
  readonly payerAccountId: string;
  /** `signer://kid` or `signer://kid@version`. */
  readonly payerKeyRef: string;
  /** The topic's submit key, if it is not the payer's. */
  readonly submitKeyRef?: string;
  /** Public half of the topic's submit key, hex of 32 bytes (Ed25519): for `/.well-known/proofline.json`. */
  readonly submitKey?: string;
  /** Decimal. A transaction never costs more. */
  readonly maxFeeTinybars: string;
  /** Base URL of an explorer; links append `/{network}/transaction/{consensus timestamp}`. No link without it. */
  readonly explorerUrl?: string;
  /** Validity of a transaction; 15 to 180, default 120. */
  readonly validSeconds?: number;
  readonly grpcDeadlineMs?: number;
  readonly requestTimeoutMs?: number;
  readonly mirrorTimeoutMs?: number;
  /** `host:port` of mirrors' gRPC interfaces, which tell the address book. Absent: the public network's own, else none. */
  readonly mirrorGrpc?: readonly string[];
  /** How often the nodes are learnt anew, beside every INVALID_NODE_ACCOUNT; default a day. */
  readonly addressBookRefreshMs?: number;
  /** The registry contract, where checkpoints are anchored in it too (`PROOFLINE_ANCHOR_MODE`). */
  readonly contract?: ContractConfig;
}

export interface ContractConfig {
  readonly contractId: string;
  /** What a call may use; `contracts/gas.json` says what it does use. */
  readonly gas: number;
  /** Decimal. A call never costs more; the network wants the price of all the gas to fit in. */
  readonly maxFeeTinybars: string;
}

export const LEDGER_DEFAULTS = {
  validSeconds: 120,
  grpcDeadlineMs: 4_000,
  requestTimeoutMs: 20_000,
  mirrorTimeoutMs: 5_000,
  addressBookRefreshMs: 86_400_000,
} as const;

/** A transaction is sent to this many nodes at most, and signed once for each. */
export const NODES_PER_TRANSACTION = 3;

const PUBLIC_NETWORKS = ['mainnet', 'testnet', 'previewnet'];
/** The port of nodes that take TLS: the SDK speaks it there and only there. */
export const TLS_PORT = 50_212;
const ADDRESS = /^[A-Za-z0-9.-]{1,253}:[0-9]{1,5}$/;

const entityId = text('an id like 0.0.5', 60, (value) => parseEntityId(value) !== undefined);
const url = text(
  'an http or https URL without a trailing slash',
  300,
  (value) => /^https?:\/\/[^\s?#]*[^\s?#/]$/.test(value) && URL.canParse(value),
);
const keyRef = text('signer://kid or signer://kid@version', 120, (value) => parseKeyRef(value) !== undefined);

const nodeMap: Read<Readonly<Record<string, string>>> = (value, path) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ShapeFault(path, 'an object is expected');
  const out: Record<string, string> = {};
  for (const [address, account] of Object.entries(value)) {
    if (!ADDRESS.test(address)) throw new ShapeFault(`${path}.${address.slice(0, 80)}`, 'host:port is expected');
    out[address] = entityId(account, `${path}.${address}`);
  }
  return out;
};

const between =
  (min: number, max: number): Read<number> =>
  (value, path) => {
    const number = positive(value, path);
    if (number < min || number > max) throw new ShapeFault(path, `${min} to ${max} is expected`);
    return number;
  };

const MAX_CALL_GAS = 15_000_000;

const readContract: Read<ContractConfig> = object({
  contractId: entityId,
  gas: between(21_000, MAX_CALL_GAS),
  maxFeeTinybars: text('a decimal number', 19, /^[1-9][0-9]*$/),
});

const readConfig = object(
  {
    kind: oneOf('hedera-hcs/v1'),
    network: text('a network name', 40, /^[a-z][a-z0-9-]*$/),
    nodes: nodeMap,
    mirrors: list(url, 8, 1),
    mirrorQuorum: between(1, 8),
    topicId: entityId,
    payerAccountId: entityId,
    payerKeyRef: keyRef,
    maxFeeTinybars: text('a decimal number', 19, /^[1-9][0-9]*$/),
  },
  {
    submitKeyRef: keyRef,
    submitKey: text('64 hex digits', 64, /^[0-9a-f]{64}$/),
    explorerUrl: url,
    validSeconds: between(15, 180),
    grpcDeadlineMs: between(100, 30_000),
    requestTimeoutMs: between(200, 60_000),
    mirrorTimeoutMs: between(100, 30_000),
    contract: readContract,
    mirrorGrpc: list(text('host:port', 260, ADDRESS), 8, 1),
    addressBookRefreshMs: between(1_000, 7 * 86_400_000),
  },
);

/** Throws CONFIG_INVALID with the path of the first fault. */
export function parseLedgerConfig(jsonText: string): LedgerConfig {
  try {
    const config: LedgerConfig = readConfig(parseStrictJson(jsonText), '$');
    if (config.mirrorQuorum > config.mirrors.length) {
      throw new ShapeFault('$.mirrorQuorum', `at most ${config.mirrors.length}, the number of mirrors, is expected`);
    }
    if (new Set(config.mirrors).size !== config.mirrors.length)
      throw new ShapeFault('$.mirrors', 'different URLs are expected');
    if (Object.keys(config.nodes).length === 0 && !PUBLIC_NETWORKS.includes(config.network)) {
      throw new ShapeFault('$.nodes', `nodes are expected for a network that is none of ${PUBLIC_NETWORKS.join(', ')}`);
    }
    const { grpcDeadlineMs, requestTimeoutMs } = { ...LEDGER_DEFAULTS, ...config };
    if (requestTimeoutMs <= grpcDeadlineMs)
      throw new ShapeFault('$.requestTimeoutMs', `more than grpcDeadlineMs (${grpcDeadlineMs}) is expected`);
    return config;
  } catch (cause) {
    if (cause instanceof ShapeFault || cause instanceof ProoflineError) {
      throw new ProoflineError('CONFIG_INVALID', `the ledger file: ${cause.message}`, { cause });
    }
    throw cause;
  }
}
