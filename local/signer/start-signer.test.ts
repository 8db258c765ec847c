import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { until } from '../../test/support/until.ts';
import { createRoot, issueCertificate, newPrivateKey, publicKeyOf } from '../keys/certificates.ts';
import { ensureLocalKeys, readPair } from '../keys/ensure-local-keys.ts';
import { startSigner } from './start-signer.ts';
import { tokenAttributes } from './test-attributes.ts';
import { b64, sealInput, tbs, useTestSigner } from './test-signer.ts';

const clock = systemClock();
const test = useTestSigner();
const { agentOf, call } = test;

describe('signer/1', () => {
  it('answers a client on the list and names itself a development signer', async () => {
    const { status, json } = await call('worker', '/v1/info');
    expect(status).toBe(200);
    expect(json).toEqual(expect.objectContaining({ protocol: 'signer/1', dev: true }));
  });

  it('refuses a client without a certificate, one of another root, and TLS 1.2', async () => {
    const root = await createRoot('another root', clock.nowMs());
    const key = newPrivateKey();
    const spec = {
      commonName: 'proofline-worker',
      spki: await publicKeyOf(key),
      entity: { kind: 'tls-client' },
      nowMs: clock.nowMs(),
      days: 1,
    } as const;
    await expect(call(await agentOf(undefined), '/v1/info')).rejects.toThrow();
    await expect(call(await agentOf({ cert: await issueCertificate(root, spec), key }), '/v1/info')).rejects.toThrow();
    const { port } = new URL(test.signer.url);
    const old = connect({
      port: Number(port),
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      ca: await readFile(test.signer.keys.transportCaFile),
      ...(await readPair(test.signer.keys.clients.worker)),
    });
    await expect(new Promise((_, reject) => old.once('error', reject))).rejects.toThrow(/protocol version/);
  });

  it('refuses a certificate of its own root that is not on the list', async () => {
    const root = await readPair({
      certFile: test.signer.keys.transportCaFile,
      keyFile: join(test.dir, 'ca', 'transport', 'key.pem'),
    });
    const key = newPrivateKey();
    const spec = {
      commonName: 'somebody',
      spki: await publicKeyOf(key),
      entity: { kind: 'tls-client' },
      nowMs: clock.nowMs(),
      days: 1,
    } as const;
    const { status, json } = await call(await agentOf({ cert: await issueCertificate(root, spec), key }), '/v1/keys');
    expect([status, json.code, json.retryable]).toEqual([403, 'client_not_allowed', false]);
  });

  it('lets each client use its own purposes alone', async () => {
    expect((await call('tsa', '/v1/keys/seal/sign', tbs('ES256', [sealInput('tsa')]))).json.code).toBe(
      'client_not_allowed',
    );
    expect((await call('worker', '/v1/keys/tsa/sign', tbs('ES256', [b64(tokenAttributes())]))).json.code).toBe(
      'client_not_allowed',
    );
  });

  it('wants an idempotency key of 64 hex digits and a path it knows', async () => {
    expect(
      (await call('worker', '/v1/keys/seal/sign', tbs('ES256', [sealInput(1)]), { 'idempotency-key': 'x' })).json.code,
    ).toBe('request_malformed');
    for (const path of ['/', '/v2/info', '/v1/keys/seal/export', '/v1/keys/seal/sign/more', '/v1/nothing'])
      expect((await call('worker', path)).status).toBe(404);
    expect((await call('worker', '/v1/keys/seal/sign')).status).toBe(405);
  });

  it('takes a renewed certificate and another root of its clients without a restart', async () => {
    const { certFile, keyFile } = test.signer.keys.signerServer;
    const caKeyFile = join(test.dir, 'ca', 'transport', 'key.pem');
    const root = await readPair({ certFile: test.signer.keys.transportCaFile, keyFile: caKeyFile });
    const issue = async (commonName: string, key: string, kind: 'tls-server' | 'tls-client', issuer = root) =>
      issueCertificate(issuer, {
        commonName,
        spki: await publicKeyOf(key),
        entity: { kind },
        nowMs: clock.nowMs(),
        days: 1,
      });
    const serverNow = async (): Promise<string> => {
      const socket = connect({
        port: Number(new URL(test.signer.url).port),
        host: '127.0.0.1',
        ca: root.cert,
        ...(await readPair(test.signer.keys.clients.worker)),
      });
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const before = await serverNow();
    const newKey = newPrivateKey();
    // Between the two writes the pair does not fit, and the old one serves.
    await writeFile(keyFile, newKey);
    expect(await serverNow()).toBe(before);
    await writeFile(certFile, await issue('proofline-signer dev', newKey, 'tls-server'));
    await until(serverNow, (fingerprint) => fingerprint !== before);
    const other = await createRoot('the next transport root', clock.nowMs());
    const clientKey = newPrivateKey();
    const client = await agentOf({
      cert: await issue('proofline-worker', clientKey, 'tls-client', other),
      key: clientKey,
    });
    await expect(call(client, '/v1/info')).rejects.toThrow();
    await writeFile(test.signer.keys.transportCaFile, `${root.cert}\n${other.cert}`);
    await until(
      () =>
        call(client, '/v1/info').then(
          (answer) => answer.status,
          () => 0,
        ),
      (status) => status === 200,
    );
    expect((await call('worker', '/v1/info')).status).toBe(200);
    await writeFile(test.signer.keys.transportCaFile, root.cert);
  });

  it('starts neither in production nor over a keystore that does not open', async () => {
    await expect(startSigner({ dir: test.dir, clock, environment: 'production' })).rejects.toThrow(
      'NODE_ENV=production',
    );
    const other = await mkdtemp(join(tmpdir(), 'proofline-signer-'));
    const first = await startSigner({ dir: other, clock });
    await first.stop();
    const { passphraseFile } = await ensureLocalKeys(other, clock);
    await writeFile(passphraseFile, 'another passphrase than the one before');
    await expect(startSigner({ dir: other, clock })).rejects.toThrow('does not open');
    await rm(other, { recursive: true });
  });
});
