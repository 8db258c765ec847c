/**
 * The development signer as a process. Environment: PROOFLINE_KEYS_DIR (required), PROOFLINE_SIGNER_PORT (8543),
 * PROOFLINE_HOST (127.0.0.1), PROOFLINE_LOG_LEVEL (info), PROOFLINE_SIGNER_ALLOW_PRODUCTION (unset).
 */
import { pino } from 'pino';
import { systemClock } from '../../domain/clock.ts';
import { startSigner } from './start-signer.ts';

const KNOWN = [
  'PROOFLINE_KEYS_DIR',
  'PROOFLINE_SIGNER_PORT',
  'PROOFLINE_HOST',
  'PROOFLINE_LOG_LEVEL',
  'PROOFLINE_SIGNER_ALLOW_PRODUCTION',
];

function readEnvironment(env: NodeJS.ProcessEnv) {
  const faults = Object.keys(env)
    .filter((name) => name.startsWith('PROOFLINE_') && !KNOWN.includes(name))
    .map((name) => `${name} is not known`);
  const port = Number(env.PROOFLINE_SIGNER_PORT ?? '8543');
  if (!Number.isInteger(port) || port < 0 || port > 65_535) faults.push('PROOFLINE_SIGNER_PORT is not a port');
  const level = env.PROOFLINE_LOG_LEVEL ?? 'info';
  if (!['debug', 'info', 'warn', 'error'].includes(level))
    faults.push('PROOFLINE_LOG_LEVEL is not debug, info, warn or error');
  if (!env.PROOFLINE_KEYS_DIR) faults.push('PROOFLINE_KEYS_DIR is missing');
  if (faults.length > 0) throw new Error(`the environment is not acceptable: ${faults.join('; ')}`);
  return {
    dir: env.PROOFLINE_KEYS_DIR as string,
    port,
    host: env.PROOFLINE_HOST ?? '127.0.0.1',
    level,
    allowProduction: env.PROOFLINE_SIGNER_ALLOW_PRODUCTION === 'true',
    environment: env.NODE_ENV,
  };
}

const { level, ...options } = readEnvironment(process.env);
const logger = pino({ level, base: { process: 'signer' } });
const signer = await startSigner({ ...options, clock: systemClock(), log: (event) => logger.warn(event) });
logger.info({ event: 'listening', url: signer.url });

let stopping = false;
const stop = (): void => {
  if (stopping) return;
  stopping = true;
  void signer.stop().then(() => process.exit(0));
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
