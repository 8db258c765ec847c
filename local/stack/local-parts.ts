/** Which processes make up the local system, with the settings of each. */
import { join } from 'node:path';
import type { LocalKeys } from '../keys/ensure-local-keys.ts';
import type { Postgres } from '../postgres/start-postgres.ts';
import type { Temporal } from '../temporal/start-temporal.ts';
import { nodePart } from './node-part.ts';
import type { PartSpec } from './part.ts';
import { acceptsTcp, answersOk } from './ready.ts';
import type { LocalSecrets } from './secrets.ts';
import type { StackPorts } from './stack-ports.ts';

export const DATABASE = 'proofline';
export const ORIGIN = 'localhost/proofline';

export interface PartContext {
  readonly dataDir: string;
  readonly ports: StackPorts;
  readonly keys: LocalKeys;
  readonly logLevel: string;
  /** Settings that a caller adds to a part's, by the part's name. */
  readonly extra: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface ServerContext extends PartContext {
  readonly postgres: Postgres;
  readonly temporal: Temporal;
  readonly secrets: LocalSecrets;
  readonly tsasFile: string;
  readonly ledgerFile: string;
  readonly anchorMode: string;
}

export const apiUrl = (ports: StackPorts): string => `http://127.0.0.1:${ports.api}`;
export const signerUrl = (ports: StackPorts): string => `https://127.0.0.1:${ports.signer}`;
export const tsaUrl = (ports: StackPorts): string => `http://127.0.0.1:${ports.tsa}/`;
export const tsaSecondUrl = (ports: StackPorts): string => `http://127.0.0.1:${ports.tsaSecond}/`;
export const crlUrl = (ports: StackPorts): string => `http://127.0.0.1:${ports.crl}/`;
export const mirrorUrl = (ports: StackPorts): string => `http://127.0.0.1:${ports.hederaMirror}`;

/** The outside parties: signer, timestamp authority, ledger. */
export function signerPart(context: PartContext): PartSpec {
  return part(context, 'signer', 'local/signer/main.ts', () => acceptsTcp(context.ports.signer), {
    PROOFLINE_KEYS_DIR: context.keys.dir,
    PROOFLINE_SIGNER_PORT: `${context.ports.signer}`,
  });
}

export function tsaPart(context: PartContext): PartSpec {
  const client = context.keys.clients.tsa;
  return part(context, 'tsa', 'local/tsa/main.ts', () => answersOk(`${tsaUrl(context.ports)}health`), {
    PROOFLINE_TSA_PORT: `${context.ports.tsa}`,
    PROOFLINE_SIGNER_URL: signerUrl(context.ports),
    PROOFLINE_SIGNER_CA_FILE: context.keys.transportCaFile,
    PROOFLINE_SIGNER_CERT_FILE: client.certFile,
    PROOFLINE_SIGNER_KEY_FILE: client.keyFile,
    PROOFLINE_TSA_ROOT_CERT_FILE: context.keys.tsaRoot.certFile,
    PROOFLINE_TSA_ROOT_KEY_FILE: context.keys.tsaRoot.keyFile,
  });
}

/** Independent of the first: own root, own key in its own process, RSA. */
export function tsaSecondPart(context: PartContext): PartSpec {
  const { root, leaf } = context.keys.tsaSecond;
  return part(context, 'tsa-second', 'local/tsa/main.ts', () => answersOk(`${tsaSecondUrl(context.ports)}health`), {
    PROOFLINE_TSA_PORT: `${context.ports.tsaSecond}`,
    PROOFLINE_TSA_CERT_FILE: leaf.certFile,
    PROOFLINE_TSA_KEY_FILE: leaf.keyFile,
    PROOFLINE_TSA_ROOT_CERT_FILE: root.certFile,
    PROOFLINE_TSA_ROOT_KEY_FILE: root.keyFile,
  });
}

/** Publishes the revocation lists of the dev roots. */
export function crlPart(context: PartContext): PartSpec {
  return part(context, 'crl', 'local/revocation/main.ts', () => answersOk(`${crlUrl(context.ports)}health`), {
    PROOFLINE_KEYS_DIR: context.keys.dir,
    PROOFLINE_CRL_PORT: `${context.ports.crl}`,
  });
}

/** One process with every pool, or, given ports for the metrics of all but the first, one process a pool. */
export function workerParts(
  context: ServerContext,
  pools: readonly string[],
  morePorts: readonly number[] | undefined,
): PartSpec[] {
  const groups =
    morePorts === undefined
      ? [{ name: 'workers', pool: 'all' }]
      : pools.map((pool) => ({ name: `worker-${pool}`, pool }));
  return groups.map(({ name, pool }, i) => {
    const metricsPort = morePorts?.[i - 1] ?? context.ports.metrics;
    const client = context.keys.clients.worker;
    const settings = {
      ...motionSettings(context, metricsPort),
      PROOFLINE_POOLS: pool,
      PROOFLINE_INSTANCE: context.secrets.instance,
      PROOFLINE_PUBLIC_URL: apiUrl(context.ports),
      PROOFLINE_SIGNER_URL: signerUrl(context.ports),
      PROOFLINE_SIGNER_CA_FILE: context.keys.transportCaFile,
      PROOFLINE_SIGNER_CERT_FILE: client.certFile,
      PROOFLINE_SIGNER_KEY_FILE: client.keyFile,
      PROOFLINE_SIGNING_ROOTS_FILE: context.keys.signingRoot.certFile,
      PROOFLINE_TSAS_FILE: context.tsasFile,
      ...(context.ledgerFile === '' ? {} : { PROOFLINE_LEDGER_FILE: context.ledgerFile }),
      PROOFLINE_ANCHOR_MODE: context.anchorMode,
      // The dev roots publish a new list each second.
      PROOFLINE_PDF_REVOCATION_GRACE_MS: '3000',
      PROOFLINE_PDF_REVOCATION_RETRY_MS: '3000',
      PROOFLINE_LICENSE_ISSUERS_FILE: context.keys.licenseIssuer.jwksFile,
      // A process that died is back without bundling the workflows again.
      PROOFLINE_WORKFLOW_BUNDLE_FILE: join(context.dataDir, 'workflow-bundle.json'),
      ...context.extra.workers,
    };
    return part(
      context,
      name,
      'workers/main.ts',
      () => answersOk(`http://127.0.0.1:${metricsPort}/readyz`),
      settings,
      30_000,
    );
  });
}

export function relayPart(context: ServerContext): PartSpec {
  const metricsPort = context.ports.relayMetrics;
  const settings = motionSettings(context, metricsPort);
  return part(
    context,
    'relay',
    'workers/relay-main.ts',
    () => answersOk(`http://127.0.0.1:${metricsPort}/readyz`),
    settings,
  );
}

export function apiPart(context: ServerContext): PartSpec {
  const metricsPort = context.ports.apiMetrics;
  return part(context, 'api', 'api/main.ts', () => answersOk(`http://127.0.0.1:${metricsPort}/readyz`), {
    PROOFLINE_API_PORT: `${context.ports.api}`,
    PROOFLINE_METRICS_PORT: `${metricsPort}`,
    PROOFLINE_PUBLIC_URL: apiUrl(context.ports),
    PROOFLINE_ORIGIN: ORIGIN,
    PROOFLINE_DB_API_URL: context.postgres.url('proofline_api', DATABASE),
    PROOFLINE_DB_INTAKE_URL: context.postgres.url('proofline_intake', DATABASE),
    PROOFLINE_TEMPORAL_UI_URL: context.temporal.uiUrl ?? '',
    PROOFLINE_TEMPORAL_NAMESPACE: context.temporal.namespace,
  });
}

function motionSettings(context: ServerContext, metricsPort: number): Record<string, string> {
  return {
    PROOFLINE_METRICS_PORT: `${metricsPort}`,
    PROOFLINE_DB_WORKER_URL: context.postgres.url('proofline_worker', DATABASE),
    PROOFLINE_TEMPORAL_ADDRESS: context.temporal.address,
    PROOFLINE_TEMPORAL_NAMESPACE: context.temporal.namespace,
    PROOFLINE_ORIGIN: ORIGIN,
  };
}

export function part(
  context: PartContext,
  name: string,
  main: string,
  isReady: () => Promise<boolean>,
  settings: Readonly<Record<string, string>>,
  stopTimeoutMs = 10_000,
): PartSpec {
  return nodePart({
    name,
    main,
    settings: {
      PROOFLINE_HOST: '127.0.0.1',
      PROOFLINE_LOG_LEVEL: context.logLevel,
      ...settings,
      ...context.extra[name],
    },
    logsDir: join(context.dataDir, 'logs'),
    stopTimeoutMs,
    isReady,
  });
}
