/**
 * Revocation lists of dev roots over HTTP on loopback (RFC 5280 §5): `GET /<root>.crl`, complete, signed when it is asked
 * for, in force for an hour. What is revoked stands in `revoked.json` beside the root, read at each signing.
 */
import 'reflect-metadata';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../domain/clock.ts';
import { createCrl } from '../keys/certificates.ts';
import { LISTED_ROOTS, type ListedRoot, type LocalKeys, readPair } from '../keys/ensure-local-keys.ts';
import { readRevoked, rootFiles } from './revoked-file.ts';

export interface ListOptions {
  readonly keys: LocalKeys;
  readonly clock: Clock;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: chosen by the system. */
  readonly port?: number;
  /** How long a list is in force; default one hour. */
  readonly validMs?: number;
}

export interface RunningLists {
  /** `http://host:port/` */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Rejects when the address is taken. */
export async function startLists(options: ListOptions): Promise<RunningLists> {
  const { keys, clock, validMs = 3_600_000 } = options;
  /** The last list of each root with its second: a list tells no time finer than that. */
  const signed = new Map<ListedRoot, { readonly second: number; readonly revoked: string; readonly crl: Uint8Array }>();

  async function sign(root: ListedRoot): Promise<Uint8Array> {
    const nowMs = clock.nowMs();
    const second = Math.floor(nowMs / 1_000);
    const entries = await readRevoked(keys, root);
    const revoked = JSON.stringify(entries);
    const last = signed.get(root);
    if (last?.second === second && last.revoked === revoked) return last.crl;
    const issuer = await readPair(rootFiles(keys, root));
    const crl = await createCrl(issuer, { nowMs: second * 1_000, validMs, number: second, entries });
    signed.set(root, { second, revoked, crl });
    return crl;
  }

  const server = createServer((request, response) => {
    const root = LISTED_ROOTS.find((one) => request.url === `/${one}.crl`);
    if (request.url === '/health') return end(response, 200, 'text/plain', 'ok\n');
    if (request.method !== 'GET' || root === undefined) return end(response, 404, 'text/plain', 'no such list\n');
    sign(root).then(
      (crl) => end(response, 200, 'application/pkix-crl', crl),
      (error: unknown) => end(response, 500, 'text/plain', `${error instanceof Error ? error.message : 'failed'}\n`),
    );
  });
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', () => resolve());
  });
  const { address, port } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}/`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function end(response: ServerResponse, status: number, type: string, body: string | Uint8Array): void {
  response.writeHead(status, { 'content-type': type });
  response.end(body);
}
