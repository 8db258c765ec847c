import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type HederaSim, startHederaSim } from '../local/hedera/start-hedera-sim.ts';
import { compile, readArtefact } from './compile.ts';
import { runContract } from './run-contract.ts';

const ROOT = Buffer.alloc(32, 5).toString('base64url');
let folder: string;
let sim: HederaSim;
let common: string[];
let contractId: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'contract-'));
  sim = await startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 0, mirrorCount: 1 });
  const ledger = join(folder, 'ledger.json');
  const config = {
    kind: 'hedera-hcs/v1',
    network: 'simulator',
    nodes: sim.nodes,
    mirrors: sim.mirrorRestUrls,
    mirrorQuorum: 1,
    topicId: '0.0.9',
    payerAccountId: sim.operatorId,
    payerKeyRef: 'signer://payer',
    maxFeeTinybars: '1000000',
  };
  writeFileSync(ledger, JSON.stringify(config));
  const keyFile = join(folder, 'operator.pem');
  writeFileSync(keyFile, sim.operatorKey);
  common = ['--ledger', ledger, '--operator', sim.operatorId, '--key-file', keyFile];
  const made = await run('deploy', '--owner', '0.0.77', '--publisher', sim.operatorId);
  contractId = String(made.contractId);
});
afterAll(async () => {
  await sim.stop();
  await rm(folder, { recursive: true });
});

const run = (verb: string, ...args: string[]) => runContract([verb, ...common, ...args], {});
const checkpoint = (root = ROOT) => [
  '--contract',
  contractId,
  '--origin',
  'log.example',
  '--size',
  '42',
  '--root',
  root,
];

describe('npm run contract', () => {
  it('deploys, anchors, refuses to anchor twice, and reads, against the simulated network', async () => {
    expect(contractId).toMatch(/^0\.0\.\d+$/);
    const anchored = await run('anchor', ...checkpoint());
    expect(anchored).toMatchObject({ outcome: 'anchored', root: `0x${'05'.repeat(32)}` });
    const seconds = String(anchored.consensusTimestamp).split('.')[0];
    expect(await run('anchor', ...checkpoint())).toMatchObject({ outcome: 'already-anchored', anchoredAt: seconds });
    expect(await run('read', '--contract', contractId, '--root', ROOT)).toEqual({
      root: `0x${'05'.repeat(32)}`,
      isAnchored: true,
      anchoredAt: seconds,
      originId: expect.stringMatching(/^[0-9a-f]{16}$/),
      size: '42',
    });
    const unknown = Buffer.alloc(32, 6).toString('base64url');
    expect(await run('read', '--contract', contractId, '--root', unknown)).toMatchObject({ isAnchored: false });
  });

  it('makes the payer and a topic whose submit key two of three admins may change', async () => {
    const keys = Array.from({ length: 5 }, () => generateKeyPairSync('ed25519'));
    const hex = (i: number): string =>
      keys[i]?.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex') ?? '';
    const files = [2, 3].map((i) => {
      const file = join(folder, `admin-${i}.pem`);
      writeFileSync(file, keys[i]?.privateKey.export({ format: 'pem', type: 'pkcs8' }) ?? '');
      return file;
    });
    const { accountId } = await run('create-payer', '--public-key', hex(0), '--hbar', '25');
    expect(sim.ledger.state.accounts.get(String(accountId))?.balanceTinybars).toBe(2_500_000_000n);
    const topic = ['--submit-key', hex(1), '--admin-keys', [2, 3, 4].map(hex).join(','), '--admin-threshold', '2'];
    const { topicId } = await run('create-topic', ...topic, '--admin-key-files', files.join(','));
    const { submitKey, adminKey } = sim.ledger.state.topics.get(String(topicId)) ?? {};
    expect(Buffer.from(submitKey?.ed25519 ?? []).toString('hex')).toBe(hex(1));
    expect([adminKey?.thresholdKey?.threshold, adminKey?.thresholdKey?.keys?.keys?.length]).toEqual([2, 3]);
    const [one = ''] = files;
    await expect(run('create-topic', ...topic, '--admin-key-files', one)).rejects.toThrow('INVALID_SIGNATURE');
  });

  it('writes what Sourcify needs, from which the deployed code follows', async () => {
    const out = join(folder, 'sourcify.json');
    const answer = await run('verify', '--contract', contractId, '--out', out);
    expect(answer).toMatchObject({
      contractId,
      isSameCode: true,
      url: expect.stringMatching(/\/v2\/verify\/298\/0x0{30,}/),
    });
    const payload = JSON.parse(readFileSync(out, 'utf8'));
    expect(Object.keys(payload)).toEqual(['stdJsonInput', 'compilerVersion', 'contractIdentifier']);
    expect(payload.contractIdentifier).toBe('contracts/CheckpointRegistry.sol:CheckpointRegistry');
    expect(compile(payload.stdJsonInput).deployedBytecode).toBe(readArtefact().deployedBytecode);
  });

  it('names what the contract refuses', async () => {
    const made = await run('deploy', '--owner', '0.0.77', '--publisher', '0.0.78');
    const args = checkpoint().map((arg) => (arg === contractId ? String(made.contractId) : arg));
    await expect(run('anchor', ...args)).rejects.toThrow('NotPublisher');
  });

  it.each([
    [['anchor'], '--root is needed'],
    [['read', '--contract', '0.0.5', '--root', 'abc'], '--root is 32 bytes'],
    [['deploy', '--owner', 'me', '--publisher', '0.0.5'], 'me is neither an account'],
    [['destroy'], 'no verb destroy'],
    [['read', '--colour', 'red'], '--colour'],
  ])('refuses %j', async ([verb = '', ...args], message) => {
    await expect(run(verb, ...args)).rejects.toThrow(message);
  });
});
