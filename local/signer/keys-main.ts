/**
 * `npm run keys`: looks at the keys of the running signer and changes them, with the client certificate of an
 * administrator. Environment, where it is not the system in `.proofline/`: PROOFLINE_DATA_DIR, or PROOFLINE_SIGNER_URL
 * with PROOFLINE_SIGNER_CA_FILE, PROOFLINE_SIGNER_CERT_FILE and PROOFLINE_SIGNER_KEY_FILE.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { optional, parseSettings, readText } from '../../domain/settings.ts';
import { localKeyPaths } from '../keys/ensure-local-keys.ts';
import { type AdminFiles, openAdmin } from './admin-client.ts';
import { parseKeysCommand, runKeysCommand, USAGE } from './keys-command.ts';

const SETTINGS = {
  dataDir: optional('PROOFLINE_DATA_DIR', readText, fileURLToPath(new URL('../../.proofline/', import.meta.url))),
  url: optional('PROOFLINE_SIGNER_URL', readText, ''),
  caFile: optional('PROOFLINE_SIGNER_CA_FILE', readText, ''),
  certFile: optional('PROOFLINE_SIGNER_CERT_FILE', readText, ''),
  keyFile: optional('PROOFLINE_SIGNER_KEY_FILE', readText, ''),
};

async function main(): Promise<string> {
  const args = process.argv.slice(2);
  if (args.length === 0 || args.includes('--help')) return USAGE;
  const command = parseKeysCommand(args);
  const admin = await openAdmin(await findSigner());
  try {
    return await runKeysCommand(command, admin);
  } finally {
    await admin.close();
  }
}

async function findSigner(): Promise<AdminFiles> {
  const { dataDir, url, caFile, certFile, keyFile } = parseSettings(SETTINGS, process.env, ['PROOFLINE_PORT_BASE']);
  if (url !== '') return { url, caFile, certFile, keyFile };
  const keys = localKeyPaths(join(dataDir, 'keys'));
  const text = await readFile(join(dataDir, 'local.json'), 'utf8').catch(() => {
    throw new Error(`no system runs over ${dataDir}: start it, or set PROOFLINE_SIGNER_URL`);
  });
  const { signerUrl } = JSON.parse(text) as { signerUrl: string };
  return { url: signerUrl, caFile: keys.transportCaFile, ...keys.clients.admin };
}

main().then(
  (text) => process.stdout.write(`${text}\n`),
  (fault: Error) => {
    process.stderr.write(`${fault.message}\n`);
    process.exitCode = 2;
  },
);
