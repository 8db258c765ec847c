/**
 * The publisher of revocation lists as a process. Environment: PROOFLINE_KEYS_DIR (the folder of local keys),
 * PROOFLINE_CRL_PORT (8320), PROOFLINE_HOST (127.0.0.1), PROOFLINE_LOG_LEVEL (info).
 */
import { pino } from 'pino';
import { systemClock } from '../../domain/clock.ts';
import { optional, parseSettings, readInteger, readOneOf, readText, required } from '../../domain/settings.ts';
import { localKeyPaths } from '../keys/ensure-local-keys.ts';
import { startLists } from './publish-lists.ts';

const settings = parseSettings(
  {
    keysDir: required('PROOFLINE_KEYS_DIR', readText),
    port: optional('PROOFLINE_CRL_PORT', readInteger(0, 65_535), 8320),
    host: optional('PROOFLINE_HOST', readText, '127.0.0.1'),
    level: optional('PROOFLINE_LOG_LEVEL', readOneOf('debug', 'info', 'warn', 'error'), 'info'),
  },
  process.env,
);
if (process.env.NODE_ENV === 'production') throw new Error('the local revocation lists are not for production');

const logger = pino({ level: settings.level, base: { process: 'crl' } });
const lists = await startLists({
  keys: localKeyPaths(settings.keysDir),
  clock: systemClock(),
  host: settings.host,
  port: settings.port,
});
logger.info({ event: 'listening', url: lists.url });

let stopping = false;
const stop = (): void => {
  if (stopping) return;
  stopping = true;
  void lists.stop().then(() => process.exit(0));
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
