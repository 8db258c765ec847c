/**
 * The local timestamp authority as a process; its key stays behind the signer (kid `tsa`). Environment:
 * PROOFLINE_TSA_PORT (8318), PROOFLINE_HOST (127.0.0.1), PROOFLINE_LOG_LEVEL (info), PROOFLINE_TSA_POLICY,
 * PROOFLINE_SIGNER_URL and PROOFLINE_SIGNER_CA_FILE, _CERT_FILE, _KEY_FILE (client certificate `tsa`), and
 * PROOFLINE_TSA_ROOT_CERT_FILE, _KEY_FILE: with both, the faults that need another certificate can be switched on.
 */
import { randomBytes, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { systemClock } from '../../domain/clock.ts';
import { optional, parseSettings, readInteger, readOneOf, readText, readUrl, required } from '../../domain/settings.ts';
import { openRemoteKey, type RemoteKey } from '../signer/sign-with.ts';
import { makeAlternates, publicKeyOf, readCa } from './authority-certificates.ts';
import { LOCAL_TSA_POLICY } from './policy.ts';
import { startTsa } from './start-tsa.ts';

const SIGNER_WAIT_MS = 30_000;

const settings = parseSettings(
  {
    port: optional('PROOFLINE_TSA_PORT', readInteger(0, 65_535), 8318),
    host: optional('PROOFLINE_HOST', readText, '127.0.0.1'),
    level: optional('PROOFLINE_LOG_LEVEL', readOneOf('debug', 'info', 'warn', 'error'), 'info'),
    policy: optional('PROOFLINE_TSA_POLICY', readText, LOCAL_TSA_POLICY),
    signerUrl: required('PROOFLINE_SIGNER_URL', readUrl('https:')),
    caFile: required('PROOFLINE_SIGNER_CA_FILE', readText),
    certFile: required('PROOFLINE_SIGNER_CERT_FILE', readText),
    keyFile: required('PROOFLINE_SIGNER_KEY_FILE', readText),
    rootCertFile: optional('PROOFLINE_TSA_ROOT_CERT_FILE', readText, ''),
    rootKeyFile: optional('PROOFLINE_TSA_ROOT_KEY_FILE', readText, ''),
  },
  process.env,
);
if (process.env.NODE_ENV === 'production') throw new Error('the local timestamp authority does not run in production');

const logger = pino({ level: settings.level, base: { process: 'tsa' } });
const { caFile, certFile, keyFile } = settings;
const key = await openKey();
const [certificate, ...chain] = key.chain.map((pem) => new Uint8Array(new X509Certificate(pem).raw));
if (certificate === undefined) throw new Error('the key tsa has no certificate');
const tsa = await startTsa({
  host: settings.host,
  port: settings.port,
  certificate,
  chain,
  policy: settings.policy,
  signatureAlgorithm: 'ES256',
  sign: (bytes) => key.sign(bytes),
  clock: systemClock(),
  random: (length) => new Uint8Array(randomBytes(length)),
  ...(await alternates(certificate)),
});
logger.info({ event: 'listening', url: tsa.url });

let stopping = false;
const stop = (): void => {
  if (stopping) return;
  stopping = true;
  void tsa
    .stop()
    .then(() => key.close())
    .then(() => process.exit(0));
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);

/** Both processes start together, so the signer may be a moment behind. */
async function openKey(): Promise<RemoteKey> {
  const deadline = Date.now() + SIGNER_WAIT_MS;
  for (;;) {
    try {
      return await openRemoteKey({
        url: settings.signerUrl,
        caFile,
        certFile,
        keyFile,
        kid: 'tsa',
        alg: 'ES256',
        form: 'der',
      });
    } catch (error) {
      if (Date.now() > deadline) throw error;
      logger.warn({ event: 'signer-not-ready', reason: error instanceof Error ? error.message : 'unknown' });
      await delay(250);
    }
  }
}

async function alternates(leaf: Uint8Array) {
  if (settings.rootCertFile === '' || settings.rootKeyFile === '') return {};
  const [cert, rootKey] = await Promise.all(
    [settings.rootCertFile, settings.rootKeyFile].map((file) => readFile(file, 'utf8')),
  );
  if (cert === undefined || rootKey === undefined) return {};
  return { alternates: await makeAlternates(await readCa(cert, rootKey), await publicKeyOf(leaf)) };
}
