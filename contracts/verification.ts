/** What Sourcify needs to verify a deployment (`POST /server/v2/verify/{chain}/{address}`), and whether it would succeed. */
import type { LedgerConfig } from '../activities/ledger/ledger-config.ts';
import { readArtefact, readStandardInput, type StandardInput } from './compile.ts';

const SOURCIFY = 'https://sourcify.dev/server/v2/verify';
const CHAIN_IDS: Readonly<Record<string, number>> = { mainnet: 295, testnet: 296, previewnet: 297, simulator: 298 };
const TIMEOUT_MS = 10_000;
const MAX_BYTES = 262_144;

export interface Verification {
  readonly payload: {
    readonly stdJsonInput: StandardInput;
    readonly compilerVersion: string;
    readonly contractIdentifier: string;
  };
  /** Where to post the payload; a simulated network has no chain there. */
  readonly url: string;
  /** Whether the code that the first mirror shows is the artefact's. */
  readonly isSameCode: boolean;
}

/** Asks the first mirror of the ledger file. Throws if it does not show the contract. */
export async function verificationOf(config: LedgerConfig, contractId: string): Promise<Verification> {
  const response = await fetch(`${config.mirrors[0]}/api/v1/contracts/${contractId}`, {
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await response.text();
  if (!response.ok || text.length > MAX_BYTES)
    throw new Error(`the mirror answers ${response.status} for ${contractId}`);
  const { evm_address: address, runtime_bytecode: code } = JSON.parse(text) as Record<string, unknown>;
  const { compiler, contract, deployedBytecode } = readArtefact();
  return {
    payload: { stdJsonInput: readStandardInput(), compilerVersion: compiler, contractIdentifier: contract },
    url: `${SOURCIFY}/${CHAIN_IDS[config.network] ?? 0}/${String(address)}`,
    isSameCode: code === `0x${deployedBytecode}`,
  };
}
