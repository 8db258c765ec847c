import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ContractAnchorEntry } from '../../domain/bundle.ts';
import { type Stack, type StackOptions, startStack } from '../../local/stack/start-stack.ts';
import { createPool } from '../../store/pool.ts';
import { openMirror } from '../../verifier/http-mirror.ts';
import { verifyBundle } from '../../verifier/verify.ts';
import { createTestClient, type TestClient } from './client.ts';

let dataDir: string;
let stack: Stack;
let client: TestClient;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'proofline-contract-'));
  await start('both');
  const owner = createPool({ url: stack.info.postgresUrl, max: 1, applicationName: 'e2e', onError: () => undefined });
  await owner.query('UPDATE tenants SET may_weaken_anchor_policy = true');
  await owner.end();
}, 120_000);

afterAll(async () => {
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
}, 60_000);

async function start(anchorMode: NonNullable<StackOptions['anchorMode']>): Promise<void> {
  stack = await startStack({
    dataDir,
    ports: 'any',
    logLevel: 'warn',
    consensusDelayMs: 30,
    anchorMode,
    settings: {
      workers: {
        PROOFLINE_ANCHOR_WINDOW_EXPRESS_MS: '200',
        PROOFLINE_TIMESTAMP_WINDOW_MS: '100',
        PROOFLINE_CONTRACT_WINDOW_MS: '200',
      },
    },
  });
  client = createTestClient(stack);
}

const readJson = async (file: string) => JSON.parse(await readFile(join(dataDir, file), 'utf8'));

/** The bundle once it holds an anchor of this kind. */
async function untilAnchored(id: string, kind: string): Promise<string> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const { text, parsed } = await client.bundle(id);
    if (parsed.anchors.some(({ ledger }) => ledger === kind)) return text;
    if (Date.now() > deadline) throw new Error(`${id} has no ${kind} but ${JSON.stringify(parsed.anchors)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const verifyLive = async (text: string) =>
  verifyBundle(text, {
    trust: await client.trust(),
    mirrors: [openMirror(stack.info.hederaMirrorUrl)],
    nowMs: Date.now(),
  });

describe('anchoring in the registry contract, signed by the signer under its policy', () => {
  it('comes beside the topic in mode `both`: the bundle of a certified proof gains it, and a mirror confirms both', async () => {
    const proof = await client.submitOne({ anchorPolicy: 'REQUIRED' });
    await client.untilState(proof.id, ['CERTIFIED']);
    const text = await untilAnchored(proof.id, 'hedera-contract/v1');
    const { contract, payerAccountId } = await readJson('ledger.json');
    const { anchors } = JSON.parse(text);
    expect(anchors.map(({ ledger }: { ledger: string }) => ledger)).toEqual(['hedera-hcs/v1', 'hedera-contract/v1']);
    expect(anchors[1]).toMatchObject({ contractId: contract.contractId, payer: payerAccountId });
    expect((await client.trust()).ledgers).toContainEqual(
      expect.objectContaining({ kind: 'hedera-contract/v1', contractId: contract.contractId }),
    );
    const both = await verifyLive(text);
    expect([both.overall, both.claims.anchor.verdict]).toEqual(['valid', 'valid']);
    const forged = await verifyLive(text.replace(anchors[1].publisher, `0x${'0'.repeat(39)}2`));
    expect(forged.claims.anchor).toMatchObject({ verdict: 'invalid' });
  }, 60_000);

  it('carries the proofs alone in mode `contract`, in the contract that an earlier mode had deployed', async () => {
    const { contract } = await readJson('ledger.json');
    await stack.stop();
    await start('contract');
    const proof = await client.submitOne({ anchorPolicy: 'REQUIRED' });
    await client.untilState(proof.id, ['CERTIFIED']);
    const { text, parsed } = await client.bundle(proof.id);
    expect(parsed.anchors).toHaveLength(1);
    const entry = parsed.anchors[0] as ContractAnchorEntry;
    expect([entry.ledger, entry.contractId]).toEqual(['hedera-contract/v1', contract.contractId]);
    const result = await verifyLive(text);
    expect([result.overall, result.claims.anchor.verdict]).toEqual(['valid', 'valid']);
  }, 120_000);
});
