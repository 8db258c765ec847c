import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { type LedgerConfig, parseLedgerConfig } from '../activities/ledger/ledger-config.ts';
import type { Signer } from '../activities/sealing/signer-client.ts';
import type { TsaConfig } from '../activities/timestamping/tsa-pool.ts';
import type { Clock } from '../domain/clock.ts';
import { type InstanceDocument, publishInstance } from '../store/instance.ts';
import type { Db } from '../store/pool.ts';
import { publishKeys } from '../store/published-keys.ts';
import type { WorkerConfig } from './config.ts';
import { type Loop, startLoop } from './loop.ts';
import { readTsas } from './read-tsas.ts';

/** A rotation is announced before its first use, and longer than this; a compromise is told soon. */
const EVERY_MS = 5_000;
const RETRY_MS = 1_000;
const VERIFIER_SOURCE = 'https://www.npmjs.com/package/@proofline/verifier';

/**
 * Keeps published what an independent verifier needs: keys with their windows as the signer shows them, roots,
 * authorities, ledgers. Until the signer first answers it is asked every second.
 */
export function keepTrustPublished(deps: {
  readonly config: WorkerConfig;
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signer: Signer;
}): Loop {
  let published = false;
  return startLoop({
    everyMs: EVERY_MS,
    onError: (err) => deps.logger.warn({ err }, 'keys could not be published; it is tried again'),
    async turn() {
      try {
        await publishInstance(deps.db, await describeInstance(deps.config), deps.clock.nowMicros());
        await publishKeys(deps.db, await deps.signer.keys(), deps.clock.nowMicros());
        published = true;
      } catch (error) {
        if (published) throw error;
        deps.logger.debug({ err: error }, 'the signer is not there yet');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        return true;
      }
      return false;
    },
  });
}

async function describeInstance(config: WorkerConfig): Promise<InstanceDocument> {
  const tsas: readonly TsaConfig[] = await readTsas(config.tsasFile);
  const ledger =
    config.ledgerFile === undefined ? undefined : parseLedgerConfig(await readFile(config.ledgerFile, 'utf8'));
  return {
    instance: config.instance,
    origin: config.origin,
    roots: {
      signing: [await readFile(config.signingRootsFile, 'utf8')],
      tsa: [...new Set(tsas.flatMap((tsa) => tsa.roots))],
    },
    tsas: tsas.map(({ name, url, policies, selfOperated }) => ({ name, url, policies, selfOperated })),
    ledgers: ledger === undefined ? [] : ledgersOf(ledger),
    log: `${config.publicUrl}/log`,
    verifier: { source: VERIFIER_SOURCE },
  };
}

/** Whatever the mode is now: anchors of an earlier mode stand as long as the file names their place. */
function ledgersOf({ network, topicId, submitKey, explorerUrl, contract }: LedgerConfig): InstanceDocument['ledgers'] {
  const explorer = explorerUrl === undefined ? {} : { explorer: explorerUrl };
  return [
    { kind: 'hedera-hcs/v1', network, topicId, submitKey: submitKey ?? '', ...explorer },
    ...(contract === undefined
      ? []
      : [{ kind: 'hedera-contract/v1' as const, network, contractId: contract.contractId, ...explorer }]),
  ];
}
