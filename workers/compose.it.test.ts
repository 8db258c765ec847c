import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import type { Signer } from '../activities/sealing/signer-client.ts';
import { runContract } from '../contracts/run-contract.ts';
import { systemClock } from '../domain/clock.ts';
import { sealHeader, sealSigningInput } from '../domain/seal.ts';
import { startHederaSim } from '../local/hedera/start-hedera-sim.ts';
import { type RunningSigner, startSigner } from '../local/signer/start-signer.ts';
import { publishKeys } from '../store/published-keys.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type Composed, composeActivities } from './compose.ts';
import { parseWorkerConfig } from './config.ts';

const clock = systemClock();
let database: TestDatabase;
let folders: string;
const running: (Composed | RunningSigner)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  folders = await mkdtemp(join(tmpdir(), 'proofline-compose-'));
});
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await ('stop' in one ? one.stop() : one.close());
});
afterAll(async () => {
  await database.drop();
  await rm(folders, { recursive: true, force: true });
});

/** The adapters of a signer pool over a signer whose keys lie in the folder of this name. */
async function startOver(name: string): Promise<Signer> {
  const composed = await compose(name);
  if (composed.signer === undefined) throw new Error('the signer pool has a signer');
  return composed.signer;
}

async function compose(name: string, settings: Readonly<Record<string, string>> = {}): Promise<Composed> {
  const signer = await startSigner({ dir: join(folders, name), clock });
  running.push(signer);
  const { certFile, keyFile } = signer.keys.clients.worker;
  const config = parseWorkerConfig({
    PROOFLINE_POOLS: 'signer',
    PROOFLINE_DB_WORKER_URL: database.url('proofline_worker'),
    PROOFLINE_TEMPORAL_ADDRESS: '127.0.0.1:1',
    PROOFLINE_ORIGIN: 'compose.test/log',
    PROOFLINE_INSTANCE: 'test',
    PROOFLINE_PUBLIC_URL: 'http://127.0.0.1:1',
    PROOFLINE_SIGNER_URL: signer.url,
    PROOFLINE_SIGNER_CA_FILE: signer.keys.transportCaFile,
    PROOFLINE_SIGNER_CERT_FILE: certFile,
    PROOFLINE_SIGNER_KEY_FILE: keyFile,
    PROOFLINE_SIGNING_ROOTS_FILE: signer.keys.signingRoot.certFile,
    PROOFLINE_TSAS_FILE: 'unused',
    PROOFLINE_LICENSE_ISSUERS_FILE: 'unused',
    ...settings,
  });
  const composed = await composeActivities({
    config,
    db: database.pool('proofline_worker'),
    clock,
    logger: pino({ level: 'silent' }),
    stopping: new AbortController().signal,
  });
  running.push(composed);
  return composed;
}

const sealOne = (signer: Signer): Promise<unknown> =>
  signer.sign({
    kid: 'seal',
    alg: 'ES256',
    kind: 'tbs',
    values: [sealSigningInput(sealHeader('seal', 1), Buffer.from('{}'))],
    context: {},
  });

describe('a process with the signer pool', () => {
  it('refuses, after a restart, a signer that shows other keys than those published', async () => {
    const first = await startOver('first');
    await sealOne(first);
    await publishKeys(database.pool('proofline_worker'), await first.keys(), clock.nowMicros());
    await sealOne(await startOver('first'));

    const swapped = await startOver('swapped');
    await expect(sealOne(swapped)).rejects.toMatchObject({ code: 'SIGNER_BAD_SIGNATURE' });
    await expect(swapped.key('log')).rejects.toMatchObject({ code: 'SIGNER_BAD_SIGNATURE' });
    await expect(swapped.keys()).rejects.toMatchObject({ code: 'SIGNER_BAD_SIGNATURE' });
  });
});

describe('a process with the ledger pool', () => {
  const LEDGER = {
    kind: 'hedera-hcs/v1',
    network: 'simulator',
    nodes: { '127.0.0.1:1': '0.0.3' },
    mirrors: ['http://127.0.0.1:1'],
    mirrorQuorum: 1,
    topicId: '0.0.5',
    payerAccountId: '0.0.6',
    payerKeyRef: 'signer://hedera-payer',
    maxFeeTinybars: '1',
  };
  const CONTRACT = { contractId: '0.0.7', gas: 120_000, maxFeeTinybars: '1' };

  it.each([
    ['none', false],
    ['hcs', false],
    ['contract', true],
    ['both', true],
  ])('in mode %s writes to the contract: %s', async (mode, writes) => {
    const file = join(folders, 'ledger.json');
    await writeFile(file, JSON.stringify({ ...LEDGER, contract: CONTRACT }));
    const settings = { PROOFLINE_POOLS: 'ledger', PROOFLINE_LEDGER_FILE: file, PROOFLINE_ANCHOR_MODE: mode };
    const { activities } = await compose('modes', settings);
    expect(Object.keys(activities.ledger ?? {}).includes('anchorInContract')).toBe(writes);
  });

  it('refuses to start where the mode wants a contract and the ledger file names none', async () => {
    const file = join(folders, 'plain.json');
    await writeFile(file, JSON.stringify(LEDGER));
    const settings = { PROOFLINE_POOLS: 'ledger', PROOFLINE_LEDGER_FILE: file, PROOFLINE_ANCHOR_MODE: 'both' };
    await expect(compose('modes', settings)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('a process that integrates the log in mode `contract`', () => {
  it('refuses to begin a log anew of which the contract holds a tree, when its signer has forgotten it', async () => {
    const sim = await startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 0, mirrorCount: 1 });
    const ledger = join(folders, 'contract-ledger.json');
    const keyFile = join(folders, 'operator.pem');
    await writeFile(keyFile, sim.operatorKey);
    const config = {
      ...{ kind: 'hedera-hcs/v1', network: 'simulator', nodes: sim.nodes, mirrors: sim.mirrorRestUrls },
      ...{ mirrorQuorum: 1, topicId: '0.0.5', payerAccountId: sim.operatorId, payerKeyRef: 'signer://hedera-payer' },
      maxFeeTinybars: '1',
    };
    const run = (verb: string, ...args: string[]) =>
      runContract([verb, '--ledger', ledger, '--operator', sim.operatorId, '--key-file', keyFile, ...args], {});
    try {
      await writeFile(ledger, JSON.stringify(config));
      const { contractId } = await run('deploy', '--owner', '0.0.77', '--publisher', sim.operatorId);
      const contract = { contractId, gas: 120_000, maxFeeTinybars: '1' };
      await writeFile(ledger, JSON.stringify({ ...config, contract }));
      const { activities } = await compose('contract-mode', {
        PROOFLINE_LEDGER_FILE: ledger,
        PROOFLINE_ANCHOR_MODE: 'contract',
      });
      const integrateLog = activities.signer?.integrateLog;
      if (integrateLog === undefined) throw new Error('the signer pool integrates');
      const integrate = () => new MockActivityEnvironment().run(integrateLog, { runForMs: 300 });
      expect(await integrate()).toMatchObject({ size: '0' });
      const tree = [
        '--origin',
        'compose.test/log',
        '--size',
        '42',
        '--root',
        Buffer.alloc(32, 5).toString('base64url'),
      ];
      await run('anchor', '--contract', String(contractId), ...tree);
      await expect(integrate()).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
    } finally {
      await sim.stop();
    }
  }, 60_000);
});
