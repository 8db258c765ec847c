/**
 * The development signer: signer/1 over TLS 1.3 with client certificates, software keys encrypted at rest. The same
 * protocol as a production signer, other keys: it marks itself `dev` and refuses to start in production.
 */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../../domain/clock.ts';
import { clientName, ensureLocalKeys, type LocalKeys } from '../keys/ensure-local-keys.ts';
import { ensureSignerKeys, type KeySpec, keystoreDir, readPassphrase } from './ensure-signer-keys.ts';
import { createFaults, type SignerFault } from './faults.ts';
import { createHandler } from './handle-request.ts';
import { openKeyRing } from './key-ring.ts';
import { openLogMemory } from './log-memory.ts';
import type { Caller, OperationDeps } from './operation.ts';
import { openToken, type Token, type TokenConfig } from './pkcs11/open-token.ts';
import { openReplayStore } from './replay-store.ts';
import { keepTlsCurrent, readTls } from './server-tls.ts';

/** Who may call: the common name in a certificate below the transport root, and what it may use. */
export const DEFAULT_CALLERS: readonly Caller[] = [
  {
    name: clientName('worker'),
    purposes: ['seal', 'log-checkpoint', 'certificate', 'pdf', 'tx-hedera', 'hmac', 'decrypt'],
  },
  { name: clientName('tsa'), purposes: ['tsa'] },
  { name: clientName('admin'), purposes: [], admin: true },
];

export interface SignerOptions {
  /** Folder of the local keys; made at first start. */
  readonly dir: string;
  readonly clock: Clock;
  /** 0 lets the system choose. */
  readonly port?: number;
  readonly host?: string;
  readonly callers?: readonly Caller[];
  /** Keys by kid beside the default ones, made at first start. */
  readonly moreKeys?: Readonly<Record<string, KeySpec>>;
  /** `process.env.NODE_ENV`; `production` is refused unless `allowProduction`. */
  readonly environment?: string | undefined;
  readonly allowProduction?: boolean;
  /** A PKCS#11 token in which signing keys are made; without it they lie in files, encrypted. */
  readonly token?: TokenConfig;
  /** Bound of the answers kept for repeats, for each purpose; see `DEFAULT_REPLAY_BYTES`. */
  readonly replayBytes?: number;
  /** One event per refusal and failure; no secrets, no values. */
  readonly log?: (event: Readonly<Record<string, unknown>>) => void;
}

export interface RunningSigner {
  readonly url: string;
  readonly keys: LocalKeys;
  /** The file of the transaction policy, see `writeTransactionPolicy`. */
  readonly policyFile: string;
  /** Replaces the faults that strike from now on. */
  setFaults(faults: readonly SignerFault[]): void;
  stop(): Promise<void>;
}

export const policyFileOf = (keys: LocalKeys): string => join(keys.signerDir, 'policy.json');

/** Starts the signer; it answers when the promise resolves. Throws when a key file does not open. */
export async function startSigner(options: SignerOptions): Promise<RunningSigner> {
  if (options.environment === 'production' && options.allowProduction !== true) {
    throw new Error('the development signer does not start with NODE_ENV=production');
  }
  const token = options.token === undefined ? undefined : await openToken(options.token);
  try {
    return await startOver(token, options);
  } catch (cause) {
    await token?.close();
    throw cause;
  }
}

async function startOver(token: Token | undefined, options: SignerOptions): Promise<RunningSigner> {
  const { clock, host = '127.0.0.1', port = 0, callers = DEFAULT_CALLERS, log = () => undefined } = options;
  const keys = await ensureLocalKeys(options.dir, clock);
  await ensureSignerKeys(keys, clock, options.moreKeys, token);
  const policyFile = policyFileOf(keys);
  const ring = await openKeyRing(keystoreDir(keys), await readPassphrase(keys), clock, token);
  const replay = await openReplayStore({
    dir: join(keys.signerDir, 'replay'),
    clock,
    log,
    ...(options.replayBytes === undefined ? {} : { maxBytes: options.replayBytes }),
  });
  const deps: OperationDeps = {
    dir: options.dir,
    ring,
    memory: await openLogMemory(join(keys.signerDir, 'log-memory.json')),
    replay,
    policyFile,
    token,
    clock,
    log,
  };
  const faults = createFaults();
  const files = [keys.signerServer.certFile, keys.signerServer.keyFile, keys.transportCaFile] as const;
  const server = createServer(
    {
      ...(await readTls(files)),
      minVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: true,
      maxHeaderSize: 8_192,
      requestTimeout: 30_000,
      headersTimeout: 10_000,
      keepAliveTimeout: 60_000,
    },
    createHandler(deps, callers, faults),
  );
  server.on('tlsClientError', (error) => log({ event: 'tls-refused', reason: error.message.slice(0, 200) }));
  await listen(server, port, host);
  const stopWatching = keepTlsCurrent(server, files, log);
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    keys,
    policyFile,
    setFaults: faults.set,
    stop: () =>
      new Promise((resolve) => {
        stopWatching();
        server.close(() => {
          replay.close();
          void Promise.resolve(token?.close()).then(() => resolve());
        });
        // Requests in flight get a moment; a hanging one does not keep the process.
        setTimeout(() => server.closeAllConnections(), 500).unref();
        server.closeIdleConnections();
      }),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
