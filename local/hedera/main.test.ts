import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AnchorLedger, Receipt } from '../../activities/ledger/anchor-ledger.ts';
import { createHederaLedger } from '../../activities/ledger/hedera-ledger.ts';
import { resolveAtSigner } from '../../activities/ledger/key-resolver.ts';
import { parseLedgerConfig } from '../../activities/ledger/ledger-config.ts';
import { createSignerClient, type Signer } from '../../activities/sealing/signer-client.ts';
import { systemClock } from '../../domain/clock.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { until } from '../../test/support/until.ts';
import { type RunningSigner, startSigner } from '../signer/start-signer.ts';
import { freePort } from '../stack/ports.ts';

let folder: string;
let signer: RunningSigner;
let client: Signer;
let child: ChildProcess;
let port: number;
const clock = systemClock();

/** Starts the process and waits until its mirror answers. */
async function startProcess(): Promise<void> {
  const { transportCaFile, clients } = signer.keys;
  child = spawn(process.execPath, ['local/hedera/main.ts'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env.PATH,
      PROOFLINE_LOG_LEVEL: 'silent',
      PROOFLINE_HEDERA_DIR: join(folder, 'hedera'),
      PROOFLINE_LEDGER_FILE: join(folder, 'ledger.json'),
      PROOFLINE_HEDERA_POLICY_FILE: signer.policyFile,
      PROOFLINE_HEDERA_MIRROR_PORT: `${port}`,
      PROOFLINE_HEDERA_CONSENSUS_DELAY_MS: '10',
      PROOFLINE_SIGNER_URL: signer.url,
      PROOFLINE_SIGNER_CA_FILE: transportCaFile,
      PROOFLINE_SIGNER_CERT_FILE: clients.worker.certFile,
      PROOFLINE_SIGNER_KEY_FILE: clients.worker.keyFile,
    },
  });
  const answers = () =>
    fetch(`http://127.0.0.1:${port}/api/v1/network/nodes`).then(
      (response) => response.ok,
      () => false,
    );
  await until(answers, (isThere) => {
    if (child.exitCode !== null) throw new Error(`the process ended with ${child.exitCode}`);
    return isThere;
  });
}

async function stopProcess(signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

const openLedger = (): AnchorLedger =>
  createHederaLedger({
    config: parseLedgerConfig(readFileSync(join(folder, 'ledger.json'), 'utf8')),
    keys: resolveAtSigner(client),
    clock,
    random: Math.random,
  });

async function anchor(ledger: AnchorLedger, size: bigint): Promise<string> {
  const prepared = await ledger.prepare(buildAnchorMessage({ origin: 'test/log', size, root: new Uint8Array(32) }));
  expect((await ledger.submit(prepared)).kind).toBe('sent');
  let receipt: Receipt | undefined;
  for (let round = 0; receipt === undefined; round++) {
    const outcome = await ledger.receipt(prepared, round);
    if (outcome.kind === 'consensus') receipt = outcome.receipt;
  }
  for (;;) {
    const confirmation = await ledger.confirm(prepared, receipt);
    if (confirmation.kind === 'verified') return confirmation.entry.sequenceNumber;
    if (confirmation.kind === 'suspect') throw new Error(JSON.stringify(confirmation));
  }
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hedera-main-'));
  signer = await startSigner({ dir: join(folder, 'keys'), clock, port: 0 });
  const { transportCaFile, clients } = signer.keys;
  client = createSignerClient({
    url: signer.url,
    caFile: transportCaFile,
    certFile: clients.worker.certFile,
    keyFile: clients.worker.keyFile,
    clock,
  });
  port = await freePort();
  await startProcess();
});

afterEach(async () => {
  await stopProcess('SIGTERM');
  await client.close();
  await signer.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('the simulated network as a process', () => {
  it('lets an adapter with the remote signer anchor, and goes on under the same addresses after it was killed', async () => {
    const ledger = openLedger();
    try {
      expect(await anchor(ledger, 1n)).toBe('1');
      const file = readFileSync(join(folder, 'ledger.json'), 'utf8');
      await stopProcess('SIGKILL');
      await startProcess();
      expect(readFileSync(join(folder, 'ledger.json'), 'utf8')).toBe(file);
      expect(await anchor(ledger, 2n)).toBe('2');
    } finally {
      ledger.close();
    }
  });

  it('shows a message as a page, at the link of its consensus timestamp', async () => {
    const ledger = openLedger();
    try {
      await anchor(ledger, 1n);
    } finally {
      ledger.close();
    }
    const { topicId, explorerUrl } = parseLedgerConfig(readFileSync(join(folder, 'ledger.json'), 'utf8'));
    const list = (await (await fetch(`${explorerUrl}/api/v1/topics/${topicId}/messages`)).json()) as {
      messages: { consensus_timestamp: string }[];
    };
    const page = await fetch(`${explorerUrl}/simulator/transaction/${list.messages[0]?.consensus_timestamp}`);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('pl1|');
  });
});
