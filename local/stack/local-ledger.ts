import { join } from 'node:path';
import { policyFileOf } from '../signer/start-signer.ts';
import { mirrorUrl, type PartContext, part, signerUrl } from './local-parts.ts';
import type { PartSpec } from './part.ts';
import { answersOk } from './ready.ts';

/** Starts the simulated ledger; resolves to PROOFLINE_LEDGER_FILE, which it has written by the time it answers. */
export async function startLedger(
  context: PartContext,
  start: (spec: PartSpec) => Promise<void>,
  settings: { readonly consensusDelayMs: number; readonly anchorMode: string },
): Promise<string> {
  const ledgerFile = join(context.dataDir, 'ledger.json');
  const client = context.keys.clients.worker;
  const isReady = (): Promise<boolean> => answersOk(`${mirrorUrl(context.ports)}/api/v1/network/nodes`);
  await start(
    part(context, 'hedera', 'local/hedera/main.ts', isReady, {
      PROOFLINE_HEDERA_DIR: join(context.dataDir, 'hedera'),
      PROOFLINE_LEDGER_FILE: ledgerFile,
      PROOFLINE_HEDERA_POLICY_FILE: policyFileOf(context.keys),
      PROOFLINE_HEDERA_MIRROR_PORT: `${context.ports.hederaMirror}`,
      PROOFLINE_HEDERA_CONSENSUS_DELAY_MS: `${settings.consensusDelayMs}`,
      PROOFLINE_ANCHOR_MODE: settings.anchorMode,
      PROOFLINE_SIGNER_URL: signerUrl(context.ports),
      PROOFLINE_SIGNER_CA_FILE: context.keys.transportCaFile,
      PROOFLINE_SIGNER_CERT_FILE: client.certFile,
      PROOFLINE_SIGNER_KEY_FILE: client.keyFile,
    }),
  );
  return ledgerFile;
}
