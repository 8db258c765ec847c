/**
 * `npm start`: the whole system on this machine until Ctrl-C or SIGTERM, its data kept in `.proofline/`.
 * Settings: PROOFLINE_PORT_BASE (added to every port), PROOFLINE_DATA_DIR, PROOFLINE_LOG_LEVEL,
 * PROOFLINE_ANCHOR_MODE (hcs; contract, both, none) and PROOFLINE_CONTRACT_WINDOW_MS, as the workers know them.
 * `--pools=split`: one worker process a pool.
 */
import { fileURLToPath } from 'node:url';
import { optional, parseSettings, readInteger, readOneOf, readText } from '../domain/settings.ts';
import type { PartState } from './stack/part.ts';
import { startStack } from './stack/start-stack.ts';

const SETTINGS = {
  portBase: optional('PROOFLINE_PORT_BASE', readInteger(0, 50_000), 0),
  dataDir: optional('PROOFLINE_DATA_DIR', readText, fileURLToPath(new URL('../.proofline/', import.meta.url))),
  logLevel: optional('PROOFLINE_LOG_LEVEL', readOneOf('debug', 'info', 'warn', 'error'), 'info' as const),
  anchorMode: optional('PROOFLINE_ANCHOR_MODE', readOneOf('none', 'hcs', 'contract', 'both'), 'hcs' as const),
  contractWindowMs: optional('PROOFLINE_CONTRACT_WINDOW_MS', readInteger(10, 7 * 86_400_000), 3_600_000),
};

async function main(): Promise<void> {
  const { portBase, dataDir, logLevel, anchorMode, contractWindowMs } = parseSettings(SETTINGS, process.env, [
    'PROOFLINE_DB_OWNER_URL',
  ]);
  const unknown = process.argv.slice(2).filter((argument) => argument !== '--pools=split');
  if (unknown.length > 0) throw new Error(`unknown argument ${unknown[0]}; there is --pools=split`);
  const began = Date.now();
  const say = (line: string): void => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  const abort = new AbortController();
  const starting = startStack({
    signal: abort.signal,
    dataDir,
    ports: portBase,
    splitPools: process.argv.includes('--pools=split'),
    logLevel,
    anchorMode,
    settings: { workers: { PROOFLINE_CONTRACT_WINDOW_MS: `${contractWindowMs}` } },
    onProgress: say,
    onState: (name: string, state: PartState, detail: string) => {
      if (state !== 'starting') say(`${name} is ${state}${detail === '' ? '' : ` (${detail.split('\n')[0]})`}`);
    },
  });
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    // The guard ends what is left when this process is gone.
    if (stopping) process.exit(1);
    stopping = true;
    say(`${signal}: stopping; once more to end at once`);
    abort.abort(new Error('stopped while starting'));
    void starting
      .then((stack) => stack.stop())
      .then(
        () => process.exit(0),
        () => process.exit(1),
      );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);

  const { info } = await starting;
  if (stopping) return;
  say('Proofline is up:');
  console.log(`
  API            ${info.apiUrl}       documentation ${info.apiUrl}/docs
  Temporal UI    ${info.temporalUiUrl}
  Metrics        ${info.metricsUrl}
  API key        ${info.apiKey}
  All of it      ${dataDir.replace(/\/$/, '')}/local.json, logs in ${dataDir.replace(/\/$/, '')}/logs

  npx proofline submit README.md --wait
`);
}

main().catch((fault: unknown) => {
  console.error(fault instanceof Error ? fault.message : fault);
  process.exit(1);
});
