import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AccountId,
  Client,
  ContractExecuteTransaction,
  ContractFunctionParameters,
  ContractId,
  PrivateKey,
} from '@hashgraph/sdk';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ContractAnchorEntry } from '../../domain/bundle.ts';
import { type Stack, type StackOptions, startStack } from '../../local/stack/start-stack.ts';
import { createPool } from '../../store/pool.ts';
import { openMirror } from '../../verifier/http-mirror.ts';
import { verifyBundle } from '../../verifier/verify.ts';
import { until } from '../support/until.ts';
import { createTestClient, ok, type TestClient } from './client.ts';

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

/** As the contract's owner, which is the simulated network's treasury. */
async function setPaused(isPaused: boolean): Promise<void> {
  const { nodes, contract } = await readJson('ledger.json');
  const [birth = ''] = (await readFile(join(dataDir, 'hedera', 'ledger.ndjson'), 'utf8')).split('\n');
  const owner = Client.forNetwork(nodes, { scheduleNetworkUpdate: false });
  try {
    owner.setOperator(AccountId.fromString('0.0.2'), await PrivateKey.fromPem(JSON.parse(birth).treasuryKey));
    const response = await new ContractExecuteTransaction()
      .setContractId(ContractId.fromString(contract.contractId))
      .setGas(100_000)
      .setFunction('setPaused', new ContractFunctionParameters().addBool(isPaused))
      .execute(owner);
    await response.getReceiptQuery().execute(owner);
  } finally {
    owner.close();
  }
}

interface ContractAnchorView {
  readonly size: string;
  readonly state: string;
  readonly failure: string | null;
  readonly attempts: readonly { readonly state: string; readonly status: string | null }[];
  readonly commands: readonly { readonly verb: string; readonly state: string }[];
}

const asOperator = (method: string, path: string, body?: unknown): Promise<Response> =>
  client.request(method, `/v1/admin/${path}`, {
    key: stack.info.operatorKey,
    ...(body === undefined ? {} : { body }),
  });

/** The one anchor that waits for a person. */
async function untilHeld(): Promise<ContractAnchorView> {
  const list = () =>
    ok<{ data: ContractAnchorView[] }>(asOperator('GET', 'contract-anchors?state=REJECTED')).then(({ data }) => data);
  const [held] = await until(list, ({ length }) => length === 1);
  if (held === undefined) throw new Error('no contract anchor is held');
  return held;
}

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

  it('waits for support where the contract refuses, and goes on by a retry that was asked for while Temporal was down', async () => {
    await setPaused(true);
    const proof = await client.submitOne({ anchorPolicy: 'REQUIRED' });
    // Proofs rest on the topic.
    await client.untilState(proof.id, ['CERTIFIED']);
    const { size, failure } = await untilHeld();
    expect(failure).toBe('CONTRACT_REVERT_EXECUTED WritesPaused');
    await setPaused(false);
    const temporal = stack.parts.get('temporal');
    await temporal?.stop();
    const retry = () => asOperator('POST', `contract-anchors/${size}/retry`, { reason: 'a drill: no longer paused' });
    expect((await retry()).status).toBe(202);
    await temporal?.start();
    await untilAnchored(proof.id, 'hedera-contract/v1');
    const anchor = await ok<ContractAnchorView>(asOperator('GET', `contract-anchors/${size}`));
    expect(anchor).toMatchObject({
      state: 'VERIFIED',
      failure: null,
      attempts: [{ state: 'VERIFIED' }, { state: 'FAILED', status: failure }],
      commands: [{ verb: 'retry', state: 'APPLIED' }],
    });
    expect((await retry()).status).toBe(409);
    const alarms = await ok<{ data: unknown[] }>(asOperator('GET', 'alarms'));
    expect(alarms.data).toEqual([]);
  }, 120_000);

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
