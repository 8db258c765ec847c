/**
 * Against a real network, skipped unless the environment names one: PROOFLINE_SMOKE_LEDGER_FILE (a ledger file, e.g. of
 * testnet) and PROOFLINE_SMOKE_PAYER_KEY_FILE, PROOFLINE_SMOKE_SUBMIT_KEY_FILE (PKCS #8 PEM, Ed25519, of `signer://hedera-payer` and
 * `signer://hedera-submit`). Each run writes one message, and one entry if the file names a contract (runbooks/ledger-set-up.md).
 */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { parseLedgerConfig } from '../../activities/ledger/ledger-config.ts';
import { type LedgerKey, resolveFrom } from '../support/ledger-keys.ts';
import { anchorInContract, anchorOnTopic, type SmokeOptions } from './anchor-once.ts';

const { PROOFLINE_SMOKE_LEDGER_FILE: ledgerFile, PROOFLINE_SMOKE_PAYER_KEY_FILE: payerFile } = process.env;
const { PROOFLINE_SMOKE_SUBMIT_KEY_FILE: submitFile } = process.env;
const isAsked = ledgerFile !== undefined && payerFile !== undefined && submitFile !== undefined;
const onNetwork = isAsked ? describe : describe.skip;

function keyOf(file: string): LedgerKey {
  const privateKey = createPrivateKey(readFileSync(file, 'utf8'));
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { privateKey, publicKey: Uint8Array.from(spki.subarray(-32)) };
}

function options(): SmokeOptions {
  return {
    config: parseLedgerConfig(readFileSync(ledgerFile ?? '', 'utf8')),
    keys: resolveFrom({ 'hedera-payer': keyOf(payerFile ?? ''), 'hedera-submit': keyOf(submitFile ?? '') }),
    withinMs: 60_000,
    pauseMs: 2_000,
  };
}

onNetwork('the network of the environment', () => {
  it('takes one message, which its mirrors show and the verifier finds valid', async () => {
    const { answer, transactionId } = await anchorOnTopic(options());
    process.stderr.write(`smoke: ${transactionId}\n`);
    expect(answer).toMatchObject({ verdict: 'valid', reason: 'anchor-on-ledger' });
  }, 180_000);

  it('takes one entry of the registry contract, if there is one', async () => {
    const asked = options();
    if (asked.config.contract === undefined) return;
    const { answer, transactionId } = await anchorInContract(asked);
    process.stderr.write(`smoke: ${transactionId}\n`);
    expect(answer).toMatchObject({ verdict: 'valid', reason: 'anchor-on-ledger' });
  }, 180_000);
});
