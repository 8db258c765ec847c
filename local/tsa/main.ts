/**
 * The local timestamp authority as a process. Its key is behind the signer (kid `tsa`), read again within a quarter of a
 * minute of its rotation, or at once when the signer refuses the old version; or it is its own, in files: then it needs no
 * signer. Environment: PROOFLINE_TSA_PORT (8318), PROOFLINE_HOST (127.0.0.1), PROOFLINE_LOG_LEVEL (info),
 * PROOFLINE_TSA_POLICY; PROOFLINE_SIGNER_URL and PROOFLINE_SIGNER_CA_FILE, _CERT_FILE, _KEY_FILE (client certificate
 * `tsa`), or PROOFLINE_TSA_CERT_FILE and PROOFLINE_TSA_KEY_FILE (RSA); and PROOFLINE_TSA_ROOT_CERT_FILE, _KEY_FILE: with
 * both, the faults that need another certificate can be switched on.
 */
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { systemClock } from '../../domain/clock.ts';
import { optional, parseSettings, readInteger, readOneOf, readText, readUrl } from '../../domain/settings.ts';
import type { TsaAuthority } from './answer-query.ts';
import { makeAlternates, publicKeyOf, readCa } from './authority-certificates.ts';
import { type AuthorityKey, followRemoteKey } from './follow-remote-key.ts';
import { LOCAL_TSA_POLICY } from './policy.ts';
import { nodeSigner } from './sign-in-process.ts';
import { startTsa } from './start-tsa.ts';

const settings = parseSettings(
  {
    port: optional('PROOFLINE_TSA_PORT', readInteger(0, 65_535), 8318),
    host: optional('PROOFLINE_HOST', readText, '127.0.0.1'),
    level: optional('PROOFLINE_LOG_LEVEL', readOneOf('debug', 'info', 'warn', 'error'), 'info'),
    policy: optional('PROOFLINE_TSA_POLICY', readText, LOCAL_TSA_POLICY),
    signerUrl: optional('PROOFLINE_SIGNER_URL', readUrl('https:'), ''),
    caFile: optional('PROOFLINE_SIGNER_CA_FILE', readText, ''),
    certFile: optional('PROOFLINE_SIGNER_CERT_FILE', readText, ''),
    keyFile: optional('PROOFLINE_SIGNER_KEY_FILE', readText, ''),
    ownCertFile: optional('PROOFLINE_TSA_CERT_FILE', readText, ''),
    ownKeyFile: optional('PROOFLINE_TSA_KEY_FILE', readText, ''),
    rootCertFile: optional('PROOFLINE_TSA_ROOT_CERT_FILE', readText, ''),
    rootKeyFile: optional('PROOFLINE_TSA_ROOT_KEY_FILE', readText, ''),
  },
  process.env,
);
if (process.env.NODE_ENV === 'production') throw new Error('the local timestamp authority does not run in production');
if ((settings.ownKeyFile === '') === (settings.signerUrl === ''))
  throw new Error('name the key in files (PROOFLINE_TSA_KEY_FILE) or the signer (PROOFLINE_SIGNER_URL)');

const logger = pino({ level: settings.level, base: { process: 'tsa' } });
const key = settings.ownKeyFile === '' ? await openRemote() : await openOwn();
const tsa = await startTsa({
  host: settings.host,
  port: settings.port,
  policy: settings.policy,
  clock: systemClock(),
  random: (length) => new Uint8Array(randomBytes(length)),
  signatureAlgorithm: key.signatureAlgorithm,
  get certificate() {
    return key.current().certificate;
  },
  get chain() {
    return key.current().chain;
  },
  get alternates() {
    return key.current().alternates ?? {};
  },
  get sign() {
    return key.current().sign;
  },
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

interface OpenKey {
  readonly signatureAlgorithm: TsaAuthority['signatureAlgorithm'];
  readonly current: () => AuthorityKey;
  readonly close: () => Promise<void>;
}

async function openRemote(): Promise<OpenKey> {
  const { signerUrl: url, caFile, certFile, keyFile } = settings;
  const followed = await followRemoteKey({ url, caFile, certFile, keyFile }, makeFaulty, (event, more) =>
    logger.warn({ event, ...more }),
  );
  return { signatureAlgorithm: 'ES256', ...followed };
}

async function openOwn(): Promise<OpenKey> {
  const [cert, pem] = await Promise.all(
    [settings.ownCertFile, settings.ownKeyFile].map((file) => readFile(file, 'utf8')),
  );
  const certificate = new Uint8Array(new X509Certificate(cert ?? '').raw);
  const alternates = await makeFaulty(certificate);
  const own = { certificate, chain: [], alternates, sign: nodeSigner(createPrivateKey(pem ?? ''), 'RS256') };
  return { signatureAlgorithm: 'RS256', current: () => own, close: async () => {} };
}

async function makeFaulty(certificate: Uint8Array): Promise<TsaAuthority['alternates']> {
  if (settings.rootCertFile === '' || settings.rootKeyFile === '') return undefined;
  const [cert = '', rootKey = ''] = await Promise.all(
    [settings.rootCertFile, settings.rootKeyFile].map((file) => readFile(file, 'utf8')),
  );
  return makeAlternates(await readCa(cert, rootKey), await publicKeyOf(certificate));
}
