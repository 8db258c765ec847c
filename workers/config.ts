import {
  optional,
  parseSettings,
  readInteger,
  readOneOf,
  readText,
  readUrl,
  required,
  type Settings,
} from '../domain/settings.ts';
import { POOLS, type Pool } from '../workflows/policies.ts';

const port = readInteger(0, 65_535);
const intervalMs = readInteger(10, 7 * 86_400_000);

/** `all`, or pools by name: `signer,store`. */
function readPools(text: string): readonly Pool[] {
  if (text === 'all') return POOLS;
  const names = text.split(',');
  if (!names.every((name): name is Pool => (POOLS as readonly string[]).includes(name)))
    throw new Error(`"all" or a list of ${POOLS.join(', ')}`);
  return names;
}

const COMMON = {
  logLevel: optional(
    'PROOFLINE_LOG_LEVEL',
    readOneOf('trace', 'debug', 'info', 'warn', 'error', 'silent'),
    'info' as const,
  ),
  host: optional('PROOFLINE_HOST', readText, '127.0.0.1'),
  metricsPort: optional('PROOFLINE_METRICS_PORT', port, 9464),
  dbUrl: required('PROOFLINE_DB_WORKER_URL', readUrl('postgres:', 'postgresql:')),
  temporalAddress: required('PROOFLINE_TEMPORAL_ADDRESS', readText),
  temporalNamespace: optional('PROOFLINE_TEMPORAL_NAMESPACE', readText, 'default'),
  origin: required('PROOFLINE_ORIGIN', readText),
};

const WORKER = {
  ...COMMON,
  pools: optional('PROOFLINE_POOLS', readPools, POOLS as readonly Pool[]),
  instance: required('PROOFLINE_INSTANCE', readText),
  publicUrl: required('PROOFLINE_PUBLIC_URL', readUrl('http:', 'https:')),
  signerUrl: required('PROOFLINE_SIGNER_URL', readUrl('https:')),
  signerCaFile: required('PROOFLINE_SIGNER_CA_FILE', readText),
  signerCertFile: required('PROOFLINE_SIGNER_CERT_FILE', readText),
  signerKeyFile: required('PROOFLINE_SIGNER_KEY_FILE', readText),
  signingRootsFile: required('PROOFLINE_SIGNING_ROOTS_FILE', readText),
  tsasFile: required('PROOFLINE_TSAS_FILE', readText),
  ledgerFile: optional('PROOFLINE_LEDGER_FILE', readText, undefined as string | undefined),
  anchorMode: optional('PROOFLINE_ANCHOR_MODE', readOneOf('none', 'hcs', 'contract', 'both'), 'hcs' as const),
  contractWindowMs: optional('PROOFLINE_CONTRACT_WINDOW_MS', intervalMs, 3_600_000),
  licenseIssuersFile: required('PROOFLINE_LICENSE_ISSUERS_FILE', readText),
  workflowBundleFile: optional('PROOFLINE_WORKFLOW_BUNDLE_FILE', readText, undefined as string | undefined),
  checkpointIntervalMs: optional('PROOFLINE_CHECKPOINT_INTERVAL_MS', intervalMs, 75),
  timestampWindowMs: optional('PROOFLINE_TIMESTAMP_WINDOW_MS', intervalMs, 1_000),
  pdfSignerName: optional('PROOFLINE_PDF_SIGNER_NAME', readText, 'Proofline'),
  // Bytes of room for a token in a PDF.
  pdfTokenReserve: optional('PROOFLINE_PDF_TOKEN_RESERVE', readInteger(1_024, 16_384), 6_144),
  pdfRevocationGraceMs: optional('PROOFLINE_PDF_REVOCATION_GRACE_MS', intervalMs, 3_600_000),
  pdfRevocationRetryMs: optional('PROOFLINE_PDF_REVOCATION_RETRY_MS', intervalMs, 600_000),
  pdfRenewBeforeDays: optional('PROOFLINE_PDF_RENEW_BEFORE_DAYS', readInteger(1, 3_650), 90),
  anchorWindowExpressMs: optional('PROOFLINE_ANCHOR_WINDOW_EXPRESS_MS', intervalMs, 5_000),
  anchorWindowStandardMs: optional('PROOFLINE_ANCHOR_WINDOW_STANDARD_MS', intervalMs, 60_000),
  anchorWindowEconomyMs: optional('PROOFLINE_ANCHOR_WINDOW_ECONOMY_MS', intervalMs, 3_600_000),
};

const RELAY = {
  ...COMMON,
  maxUnsealedBatches: optional('PROOFLINE_MAX_UNSEALED_BATCHES', readInteger(1, 1_000), 8),
  reconcileMs: optional('PROOFLINE_RECONCILE_MS', intervalMs, 60_000),
  // Younger than this, motion may still be on its way.
  reconcileGraceMs: optional('PROOFLINE_RECONCILE_GRACE_MS', intervalMs, 30_000),
};

const LEDGER_TOOL = {
  ledgerFile: required('PROOFLINE_LEDGER_FILE', readText),
  signerUrl: required('PROOFLINE_SIGNER_URL', readUrl('https:')),
  signerCaFile: required('PROOFLINE_SIGNER_CA_FILE', readText),
  signerCertFile: required('PROOFLINE_SIGNER_CERT_FILE', readText),
  signerKeyFile: required('PROOFLINE_SIGNER_KEY_FILE', readText),
};

export type WorkerConfig = Settings<typeof WORKER>;
export type RelayConfig = Settings<typeof RELAY>;
type Environment = Readonly<Record<string, string | undefined>>;

/** The configuration of a worker process. Throws CONFIG_INVALID with every fault. */
export function parseWorkerConfig(environment: Environment): WorkerConfig {
  return parseSettings(WORKER, environment);
}

/** The configuration of the relay. Throws CONFIG_INVALID with every fault. */
export function parseRelayConfig(environment: Environment): RelayConfig {
  return parseSettings(RELAY, environment);
}

/** The configuration of `npm run ledger`. Throws CONFIG_INVALID with every fault. */
export function parseLedgerToolConfig(environment: Environment): Settings<typeof LEDGER_TOOL> {
  return parseSettings(LEDGER_TOOL, environment);
}
