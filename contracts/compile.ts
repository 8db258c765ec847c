/**
 * Compiles the contract with the pinned compiler and settings, in this process and offline. The same source, settings
 * and compiler give the same bytes everywhere: anybody can reproduce what is deployed from `standard-input.json`.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export const CONTRACT_NAME = 'CheckpointRegistry';
export const SOURCE_PATH = `contracts/${CONTRACT_NAME}.sol`;

/** What `solc` reads: the compiler's standard JSON. */
export interface StandardInput {
  readonly language: 'Solidity';
  readonly sources: Readonly<Record<string, { readonly content: string }>>;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What is committed of a compilation. Byte code is hex without `0x`. */
export interface Artefact {
  readonly contract: string;
  /** With commit and platform, as Sourcify wants it: `0.8.30+commit.73712a01`. */
  readonly compiler: string;
  readonly abi: readonly unknown[];
  readonly methods: Readonly<Record<string, string>>;
  readonly bytecode: string;
  readonly deployedBytecode: string;
  readonly metadata: string;
}

interface Solc {
  version(): string;
  compile(input: string): string;
}

interface Output {
  readonly errors?: readonly { readonly severity: string; readonly formattedMessage: string }[];
  readonly contracts?: Readonly<Record<string, Readonly<Record<string, CompiledContract>>>>;
}

interface CompiledContract {
  readonly abi: readonly unknown[];
  readonly metadata: string;
  readonly evm: {
    readonly bytecode: { readonly object: string };
    readonly deployedBytecode: { readonly object: string };
    readonly methodIdentifiers: Readonly<Record<string, string>>;
  };
}

const INPUT_FILE = fileURLToPath(new URL('./standard-input.json', import.meta.url));
const ARTEFACT_FILE = fileURLToPath(new URL(`./${CONTRACT_NAME}.json`, import.meta.url));

/** The committed standard JSON. */
export function readStandardInput(): StandardInput {
  return JSON.parse(readFileSync(INPUT_FILE, 'utf8')) as StandardInput;
}

/** The committed artefact, which scripts and tests deploy. */
export function readArtefact(): Artefact {
  return JSON.parse(readFileSync(ARTEFACT_FILE, 'utf8')) as Artefact;
}

/** The source as it lies beside this file. */
export function readSource(): string {
  return readFileSync(fileURLToPath(new URL(`./${CONTRACT_NAME}.sol`, import.meta.url)), 'utf8');
}

/** Standard JSON of a source with the pinned settings. Cancun: what Hedera's EVM speaks. */
export function standardInputOf(source: string): StandardInput {
  return {
    language: 'Solidity',
    sources: { [SOURCE_PATH]: { content: source } },
    settings: {
      evmVersion: 'cancun',
      optimizer: { enabled: true, runs: 200 },
      metadata: { useLiteralContent: true, bytecodeHash: 'ipfs' },
      outputSelection: {
        '*': {
          '*': ['abi', 'metadata', 'evm.bytecode.object', 'evm.deployedBytecode.object', 'evm.methodIdentifiers'],
        },
      },
    },
  };
}

/** Throws on any error or warning of the compiler. */
export function compile(input: StandardInput): Artefact {
  const solc = createRequire(import.meta.url)('solc') as Solc;
  const output = JSON.parse(solc.compile(JSON.stringify(input))) as Output;
  const [first] = output.errors ?? [];
  if (first !== undefined) throw new Error(first.formattedMessage);
  const contract = output.contracts?.[SOURCE_PATH]?.[CONTRACT_NAME];
  if (contract === undefined) throw new Error(`the compiler's output has no ${CONTRACT_NAME}`);
  return {
    contract: `${SOURCE_PATH}:${CONTRACT_NAME}`,
    compiler: solc.version().replace('.Emscripten.clang', ''),
    abi: contract.abi,
    methods: contract.evm.methodIdentifiers,
    bytecode: contract.evm.bytecode.object,
    deployedBytecode: contract.evm.deployedBytecode.object,
    metadata: contract.metadata,
  };
}

/** Writes both committed files from the source; returns the SHA-256 of the byte code in hex. */
export function writeArtefact(): string {
  const input = standardInputOf(readSource());
  const artefact = compile(input);
  writeFileSync(INPUT_FILE, `${JSON.stringify(input, undefined, 2)}\n`);
  writeFileSync(ARTEFACT_FILE, `${JSON.stringify(artefact, undefined, 2)}\n`);
  return createHash('sha256').update(artefact.bytecode, 'hex').digest('hex');
}
