/**
 * The development signer as a process. Environment: PROOFLINE_KEYS_DIR, PROOFLINE_SIGNER_PORT (8543), PROOFLINE_HOST
 * (127.0.0.1), PROOFLINE_LOG_LEVEL (info), PROOFLINE_SIGNER_ALLOW_PRODUCTION (false); for keys in a token PROOFLINE_SIGNER_PKCS11_MODULE
 * (its library), _TOKEN (its label), _PIN_FILE and _BINDING (`pkcs11js`, or the path of it).
 */
import { readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { systemClock } from '../../domain/clock.ts';
import { optional, parseSettings, readInteger, readOneOf, readText, required } from '../../domain/settings.ts';
import { startSigner } from './start-signer.ts';

const settings = parseSettings(
  {
    dir: required('PROOFLINE_KEYS_DIR', readText),
    port: optional('PROOFLINE_SIGNER_PORT', readInteger(0, 65_535), 8543),
    host: optional('PROOFLINE_HOST', readText, '127.0.0.1'),
    module: optional('PROOFLINE_SIGNER_PKCS11_MODULE', readText, ''),
    tokenLabel: optional('PROOFLINE_SIGNER_PKCS11_TOKEN', readText, 'proofline'),
    pinFile: optional('PROOFLINE_SIGNER_PKCS11_PIN_FILE', readText, ''),
    binding: optional('PROOFLINE_SIGNER_PKCS11_BINDING', readText, 'pkcs11js'),
    level: optional('PROOFLINE_LOG_LEVEL', readOneOf('debug', 'info', 'warn', 'error'), 'info'),
    allowProduction: optional('PROOFLINE_SIGNER_ALLOW_PRODUCTION', readOneOf('true', 'false'), 'false'),
  },
  process.env,
);
const logger = pino({ level: settings.level, base: { process: 'signer' } });
const token =
  settings.module === ''
    ? undefined
    : {
        library: settings.module,
        tokenLabel: settings.tokenLabel,
        binding: settings.binding,
        pin: (await readFile(settings.pinFile, 'utf8')).trim(),
      };
const signer = await startSigner({
  ...(token === undefined ? {} : { token }),
  dir: settings.dir,
  port: settings.port,
  host: settings.host,
  clock: systemClock(),
  environment: process.env.NODE_ENV,
  allowProduction: settings.allowProduction === 'true',
  log: (event) => logger.warn(event),
});
logger.info({ event: 'listening', url: signer.url });

let stopping = false;
const stop = (): void => {
  if (stopping) return;
  stopping = true;
  void signer.stop().then(() => process.exit(0));
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
