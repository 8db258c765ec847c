import { setTimeout as delay } from 'node:timers/promises';
import type { Postgres } from '../postgres/start-postgres.ts';
import { apiUrl, DATABASE, mirrorUrl, signerUrl, tsaUrl } from './local-parts.ts';
import type { RunningPart } from './part.ts';
import type { LocalSecrets } from './secrets.ts';
import type { StackPorts } from './stack-ports.ts';

/** `.proofline/local.json`: how tools and scripts find a running system. Holds secrets of this machine alone. */
export interface LocalInfo {
  readonly apiUrl: string;
  readonly apiKey: string;
  readonly operatorKey: string;
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  /** As proofline_owner. */
  readonly postgresUrl: string;
  readonly signerUrl: string;
  readonly tsaUrl: string;
  readonly hederaMirrorUrl: string;
  readonly metricsUrl: string;
  /** Process numbers by part, a list for the workers. */
  readonly pids: Readonly<Record<string, number | readonly number[] | null>>;
}

export interface LocalInfoInput {
  readonly ports: StackPorts;
  readonly secrets: LocalSecrets;
  readonly postgres: Postgres;
  readonly parts: ReadonlyMap<string, RunningPart>;
}

export function localInfo({ ports, secrets, postgres, parts }: LocalInfoInput): LocalInfo {
  const isWorker = (name: string): boolean => name.startsWith('worker');
  const others = [...parts].filter(([name]) => !isWorker(name)).map(([name, part]) => [name, part.pid() ?? null]);
  const workers = [...parts].filter(([name]) => isWorker(name)).map(([, part]) => part.pid());
  return {
    apiUrl: apiUrl(ports),
    apiKey: secrets.apiKey,
    operatorKey: secrets.operatorKey,
    temporalAddress: `127.0.0.1:${ports.temporal}`,
    temporalUiUrl: `http://127.0.0.1:${ports.temporalUi}`,
    postgresUrl: postgres.url('proofline_owner', DATABASE),
    signerUrl: signerUrl(ports),
    tsaUrl: tsaUrl(ports),
    hederaMirrorUrl: mirrorUrl(ports),
    metricsUrl: `http://127.0.0.1:${ports.metrics}/metrics`,
    pids: {
      ...Object.fromEntries(others),
      workers: workers.filter((pid) => pid !== undefined),
      supervisor: process.pid,
    },
  };
}

const PUBLISHED_WITHIN_MS = 60_000;

/** The text of `/.well-known/proofline.json`, once the workers have published it. */
export async function fetchTrust(api: string): Promise<string> {
  const deadline = Date.now() + PUBLISHED_WITHIN_MS;
  for (;;) {
    const reply = await fetch(`${api}/.well-known/proofline.json`, { signal: AbortSignal.timeout(5_000) });
    const text = await reply.text();
    if (reply.status === 200) return text;
    if (Date.now() > deadline) throw new Error(`the keys were not published: ${reply.status} ${text.slice(0, 300)}`);
    await delay(100);
  }
}
