import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:https';

/** PEM files of the server: certificate, its key, root of its clients. */
type TlsFiles = readonly [cert: string, key: string, ca: string];

const LOOK_EVERY_MS = 500;

/** Throws when certificate and key do not belong together: between two writes they may not. */
export async function readTls([certFile, keyFile, caFile]: TlsFiles): Promise<{
  cert: string;
  key: string;
  ca: string;
}> {
  const [cert = '', key = '', ca = ''] = await Promise.all(
    [certFile, keyFile, caFile].map((file) => readFile(file, 'utf8')),
  );
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
    throw new Error('certificate and key do not belong together');
  return { cert, key, ca };
}

/**
 * Looks at the files twice a second; when they changed, new connections get the new pair and are judged by the new root, and
 * idle ones are closed. Files that do not fit leave the old ones in force. Returns the end of it.
 */
export function keepTlsCurrent(
  server: Server,
  files: TlsFiles,
  log: (event: Readonly<Record<string, unknown>>) => void,
): () => void {
  let seen: string | undefined;
  let isLooking = false;
  async function look(): Promise<void> {
    const tls = await readTls(files);
    const found = createHash('sha256').update(JSON.stringify(tls)).digest('hex');
    if (seen !== undefined && found !== seen) {
      server.setSecureContext({ ...tls, minVersion: 'TLSv1.3' });
      server.closeIdleConnections();
      log({ event: 'tls-reloaded' });
    }
    seen = found;
  }
  const run = (): void => {
    if (isLooking) return;
    isLooking = true;
    void look()
      .catch((cause: Error) => log({ event: 'tls-not-taken', reason: cause.message.slice(0, 200) }))
      .finally(() => {
        isLooking = false;
      });
  };
  run();
  const timer = setInterval(run, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
