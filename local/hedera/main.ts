/**
 * The simulated Hedera network as a process. It keeps its ledger across restarts, stands under the same addresses
 * again, sets up an account and a topic for the keys at the signer, and writes down how to anchor on it. Environment:
 * PROOFLINE_HEDERA_DIR (ledger, required), PROOFLINE_LEDGER_FILE (written, required),
 * PROOFLINE_HEDERA_POLICY_FILE (the signer's transaction policy, written), PROOFLINE_HEDERA_MIRROR_PORT (5551),
 * PROOFLINE_ANCHOR_MODE (hcs; `both` and `contract` have the registry contract deployed, and allowed at the signer),
 * PROOFLINE_HOST (127.0.0.1), PROOFLINE_HEDERA_CONSENSUS_DELAY_MS (3000), PROOFLINE_LOG_LEVEL (info),
 * PROOFLINE_SIGNER_URL and PROOFLINE_SIGNER_CA_FILE, _CERT_FILE, _KEY_FILE.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Agent, request } from 'undici';
import { fromBase64Url, toHex } from '../../domain/bytes.ts';
import { optional, parseSettings, readInteger, readOneOf, readText, readUrl, required } from '../../domain/settings.ts';
import { writeDurably } from '../keys/write-durably.ts';
import { writeTransactionPolicy } from '../signer/transaction-policy.ts';
import { provision } from './provision.ts';
import { provisionRegistry, registryEntry, registryPolicy } from './provision-registry.ts';
import { type HederaSim, type SettingUp, startHederaSim } from './start-hedera-sim.ts';

const SIGNER_WAIT_MS = 30_000;
/** About twenty times what a message with two signatures costs. */
const MAX_FEE_TINYBARS = '5000000';
const NETWORK_NAME = 'simulator';

const settings = parseSettings(
  {
    dir: required('PROOFLINE_HEDERA_DIR', readText),
    ledgerFile: required('PROOFLINE_LEDGER_FILE', readText),
    policyFile: optional('PROOFLINE_HEDERA_POLICY_FILE', readText, ''),
    port: optional('PROOFLINE_HEDERA_MIRROR_PORT', readInteger(1, 65_535), 5551),
    anchorMode: optional('PROOFLINE_ANCHOR_MODE', readOneOf('none', 'hcs', 'contract', 'both'), 'hcs'),
    host: optional('PROOFLINE_HOST', readText, '127.0.0.1'),
    consensusDelayMs: optional('PROOFLINE_HEDERA_CONSENSUS_DELAY_MS', readInteger(0, 600_000), 3_000),
    level: optional('PROOFLINE_LOG_LEVEL', readOneOf('debug', 'info', 'warn', 'error', 'silent'), 'info'),
    signerUrl: required('PROOFLINE_SIGNER_URL', readUrl('https:')),
    caFile: required('PROOFLINE_SIGNER_CA_FILE', readText),
    certFile: required('PROOFLINE_SIGNER_CERT_FILE', readText),
    keyFile: required('PROOFLINE_SIGNER_KEY_FILE', readText),
  },
  process.env,
);
if (process.env.NODE_ENV === 'production') throw new Error('the simulated ledger does not run in production');

const logger = pino({ level: settings.level, base: { process: 'hedera' } });
const keys = await readPublicKeys();
const mirrorUrl = `http://${settings.host}:${settings.port}`;
const sim = await startAgain();
logger.info({ event: 'listening', mirror: mirrorUrl, admin: sim.adminUrl, nodes: sim.nodes });

let stopping = false;
const stop = (): void => {
  if (stopping) return;
  stopping = true;
  void sim.stop().then(() => process.exit(0));
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);

/** Before the mirrors answer: a system that finds them finds these files too. */
async function setUp(network: SettingUp): Promise<void> {
  const { payerAccountId, topicId } = provision(network, keys);
  const isContractWanted = settings.anchorMode === 'contract' || settings.anchorMode === 'both';
  // One of an earlier mode stays in the file: what stands in it is evidence. It is called only where the mode says so.
  const contractId = await provisionRegistry(network, payerAccountId, isContractWanted);
  if (settings.policyFile !== '') {
    const hedera = {
      topics: [topicId],
      payers: [payerAccountId],
      maxFeeTinybars: MAX_FEE_TINYBARS,
      ...(contractId !== undefined && isContractWanted && registryPolicy(contractId)),
    };
    await writeTransactionPolicy(settings.policyFile, { hedera });
  }
  const config = {
    kind: 'hedera-hcs/v1',
    network: NETWORK_NAME,
    nodes: network.nodes,
    mirrors: [mirrorUrl],
    mirrorQuorum: 1,
    topicId,
    payerAccountId,
    payerKeyRef: 'signer://hedera-payer',
    submitKeyRef: 'signer://hedera-submit',
    submitKey: toHex(keys.submit),
    maxFeeTinybars: MAX_FEE_TINYBARS,
    explorerUrl: mirrorUrl,
    ...(contractId !== undefined && { contract: registryEntry(contractId) }),
  };
  await writeDurably(settings.ledgerFile, `${JSON.stringify(config, undefined, 2)}\n`);
  logger.info({ event: 'provisioned', topicId, payerAccountId, contractId });
}

/** Under the addresses that the ledger file names, since those who read it hold on to them; else under free ones. */
async function startAgain(): Promise<HederaSim> {
  const options = {
    consensusDelayMs: settings.consensusDelayMs,
    mirrorRest: { host: settings.host, port: settings.port },
    mirrorCount: 1,
    dataFolder: settings.dir,
    setUp,
  };
  const network = await readLastNetwork();
  if (network === undefined) return startHederaSim(options);
  try {
    return await startHederaSim({ ...options, network });
  } catch (error) {
    logger.warn({ event: 'addresses-taken', reason: error instanceof Error ? error.message : 'unknown' });
    return startHederaSim(options);
  }
}

async function readLastNetwork(): Promise<number | undefined> {
  try {
    const { nodes } = JSON.parse(await readFile(settings.ledgerFile, 'utf8')) as { nodes: Record<string, string> };
    const octet = /^127\.0\.(\d{1,3})\.3:50211$/.exec(Object.keys(nodes)[0] ?? '')?.[1];
    return octet === undefined ? undefined : Number(octet);
  } catch {
    return undefined;
  }
}

/** Both processes start together, so the signer may be a moment behind. */
async function readPublicKeys(): Promise<{ payer: Uint8Array; submit: Uint8Array }> {
  const [ca, cert, key] = await Promise.all(
    [settings.caFile, settings.certFile, settings.keyFile].map((file) => readFile(file)),
  );
  const agent = new Agent({ connect: { ca, cert, key }, headersTimeout: 5_000, bodyTimeout: 5_000 });
  const deadline = Date.now() + SIGNER_WAIT_MS;
  try {
    for (;;) {
      try {
        return {
          payer: await readPublicKey(agent, 'hedera-payer'),
          submit: await readPublicKey(agent, 'hedera-submit'),
        };
      } catch (error) {
        if (Date.now() > deadline) throw error;
        logger.warn({ event: 'signer-not-ready', reason: error instanceof Error ? error.message : 'unknown' });
        await delay(250);
      }
    }
  } finally {
    await agent.destroy();
  }
}

async function readPublicKey(agent: Agent, kid: string): Promise<Uint8Array> {
  const response = await request(`${settings.signerUrl}/v1/keys/${kid}`, { dispatcher: agent });
  const body = (await response.body.json()) as {
    primaryVersion?: number;
    versions?: { version: number; jwk: { x: string } }[];
  };
  const jwk = body.versions?.find(({ version }) => version === body.primaryVersion)?.jwk;
  const bytes = fromBase64Url(jwk?.x ?? '');
  if (response.statusCode !== 200 || bytes?.length !== 32) throw new Error(`the signer has no key ${kid} that signs`);
  return bytes;
}
