/** `openssl ts -reply` behind HTTP: a timestamp authority that shares no code with ours. One query at a time. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writePem } from '../../domain/timestamp/pem.ts';
import { makeTestAuthority, type TestAuthority } from '../../local/tsa/test-authority.ts';

const run = promisify(execFile);

export interface OpensslTsa {
  readonly url: string;
  readonly authority: TestAuthority;
  readonly policy: string;
  readonly queries: () => number;
  readonly stop: () => Promise<void>;
}

export async function startOpensslTsa(): Promise<OpensslTsa> {
  const authority = await makeTestAuthority('RS256');
  const dir = await mkdtemp(join(tmpdir(), 'proofline-openssl-tsa-'));
  const file = (name: string): string => join(dir, name);
  const { policy } = authority.authority;
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', authority.keys.privateKey)).toString('base64');
  await writeFile(
    file('key.pem'),
    `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
  );
  await writeFile(file('tsa.pem'), writePem('CERTIFICATE', authority.authority.certificate));
  await writeFile(file('chain.pem'), writePem('CERTIFICATE', authority.issuer.der));
  await writeFile(file('serial'), '1000\n');
  await writeFile(
    file('tsa.cnf'),
    `[ tsa ]\ndefault_tsa = us\n[ us ]\nserial = ${file('serial')}\ncrypto_device = builtin\nsigner_cert = ${file('tsa.pem')}
certs = ${file('chain.pem')}\nsigner_key = ${file('key.pem')}\nsigner_digest = sha256\ndefault_policy = ${policy}
digests = sha256, sha384, sha512\naccuracy = secs:1\ness_cert_id_alg = sha256\n`,
  );
  let queries = 0;
  let last: Promise<unknown> = Promise.resolve();

  async function reply(query: Buffer): Promise<Buffer> {
    queries++;
    await writeFile(file('query.tsq'), query);
    const args = ['ts', '-reply', '-config', file('tsa.cnf'), '-section', 'us', '-queryfile', file('query.tsq')];
    await run('openssl', [...args, '-out', file('reply.tsr')]);
    return readFile(file('reply.tsr'));
  }

  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const mine = last.then(() => reply(Buffer.concat(parts)));
      last = mine.catch(() => undefined);
      mine.then(
        (bytes) => response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(bytes),
        () => response.writeHead(500).end(),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    authority,
    policy,
    queries: () => queries,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await last;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
