import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AccountId, Hbar, PrivateKey, TopicMessageSubmitTransaction, TransactionId } from '@hashgraph/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { rotateKey } from '../../local/signer/admin.ts';
import { type RunningSigner, startSigner } from '../../local/signer/start-signer.ts';
import { writeTransactionPolicy } from '../../local/signer/transaction-policy.ts';
import { formatCheckpointBody } from '../../log/checkpoint.ts';
import { createSignerClient, type Signer, type SignerClientOptions, type SignRequest } from './signer-client.ts';

const clock = systemClock();
const ORIGIN = 'client.test/log';
let dir: string;
let signer: RunningSigner;
const clients: Signer[] = [];
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-client-'));
  signer = await startSigner({ dir, clock });
});
afterEach(async () => {
  signer.setFaults([]);
  await Promise.all(clients.splice(0).map((client) => client.close()));
  for (const clean of cleanups.splice(0)) await clean();
});
afterAll(async () => {
  await signer.stop();
  await rm(dir, { recursive: true });
});

function open(more: Partial<SignerClientOptions> = {}): Signer {
  const client = createSignerClient({
    url: signer.url,
    caFile: signer.keys.transportCaFile,
    ...signer.keys.clients.worker,
    clock,
    ...more,
  });
  clients.push(client);
  return client;
}

let run = 0;
const seal = (count: number, more: Partial<SignRequest> = {}): SignRequest => {
  run++;
  const header = sealHeader('seal', more.version ?? 1);
  const values = Array.from({ length: count }, (_, n) =>
    sealSigningInput(header, Buffer.from(`{"run":${run},"n":${n}}`)),
  );
  return { kid: 'seal', version: 1, alg: 'ES256', kind: 'tbs', values, context: { batch: `b${run}` }, ...more };
};
const checkpoint = (size: bigint, fill: number): SignRequest => {
  const body = formatCheckpointBody({ origin: ORIGIN, size, root: new Uint8Array(32).fill(fill) });
  return { kid: 'log', alg: 'EdDSA', kind: 'tbs', values: [Buffer.from(body)], context: {} };
};
const error = (code: string, extra: Record<string, unknown> = {}) =>
  expect.objectContaining({ code, extra: expect.objectContaining(extra) });

describe('signer client', () => {
  it('gets 2,500 signatures in order, which verify under the published key', async () => {
    const client = open();
    const request = seal(2_500);
    const { signatures, version } = await client.sign(request);
    expect([version, signatures.length]).toEqual([1, 2_500]);
    const { versions } = await client.key('seal');
    const key = createPublicKey({ key: { ...versions[0]?.jwk }, format: 'jwk' });
    expect(
      request.values.every((v, n) =>
        verify('sha256', v, { key, dsaEncoding: 'ieee-p1363' }, signatures[n] as Uint8Array),
      ),
    ).toBe(true);
  });

  it('gets the same signatures for the same request, from another client too', async () => {
    const request = seal(3);
    const [a, b] = [await open().sign(request), await open().sign(request)];
    expect(b).toEqual(a);
    expect((await open({ namespace: 'other' }).sign(request)).signatures).not.toEqual(a.signatures);
  });

  it('gets the answer that was lost after it was done', async () => {
    const client = open();
    await client.keys();
    signer.setFaults([{ at: 'sign', effect: 'done-but-lost', times: 1 }]);
    const request = seal(2);
    const { signatures } = await client.sign(request);
    expect((await open().sign(request)).signatures).toEqual(signatures);
    signer.setFaults([{ at: 'sign', effect: 'done-but-lost' }]);
    await expect(client.sign(seal(1))).rejects.toEqual(error('SIGNER_UNAVAILABLE'));
  });

  it('refuses a signature that does not verify, wherever it stands, and takes a good one afterwards', async () => {
    signer.setFaults([{ at: 'sign', effect: 'wrong-signature', times: 1 }]);
    const client = open();
    const request = seal(70);
    await expect(client.sign(request)).rejects.toEqual(error('SIGNER_BAD_SIGNATURE', { index: 69 }));
    expect((await client.sign(request)).signatures).toHaveLength(70);
  });

  it('counts a refused value from the first of the request, across chunks', async () => {
    const request = seal(1_203);
    const values = request.values.with(1_200, Buffer.from('not a seal'));
    await expect(open().sign({ ...request, values })).rejects.toEqual(
      error('SIGNER_REFUSED', { index: 1_200, signerCode: 'value_refused' }),
    );
  });

  it.each([
    ['refused', 'SIGNER_REFUSED'],
    ['unavailable', 'SIGNER_UNAVAILABLE'],
  ] as const)('maps a signer that says %s to %s', async (effect, code) => {
    signer.setFaults([{ at: 'sign', effect }]);
    await expect(open().sign(seal(1))).rejects.toEqual(error(code));
  });

  it('gives up on a signer that hangs, and when it is told to', async () => {
    signer.setFaults([{ at: 'sign', effect: 'hang' }]);
    await expect(open({ timeoutMs: 200 }).sign(seal(1))).rejects.toEqual(error('SIGNER_UNAVAILABLE'));
    const stop = new AbortController();
    const asked = open().sign(seal(1), stop.signal);
    stop.abort();
    await expect(asked).rejects.toEqual(error('SIGNER_UNAVAILABLE'));
  });

  it('says that the signer does not answer when nobody listens', async () => {
    await expect(open({ url: 'https://127.0.0.1:1' }).info()).rejects.toEqual(error('SIGNER_UNAVAILABLE'));
  });

  it('remembers checkpoints through the signer and meets its refusal as a rollback', async () => {
    const client = open();
    expect(await client.lastCheckpoint(ORIGIN)).toBeUndefined();
    const first = await client.sign(checkpoint(7n, 1));
    expect(await client.lastCheckpoint(ORIGIN)).toEqual({ size: 7n, root: new Uint8Array(32).fill(1) });
    expect(await client.sign(checkpoint(7n, 1))).toEqual(first);
    const last = { lastSize: '7', lastRoot: Buffer.alloc(32, 1).toString('base64url') };
    await expect(client.sign(checkpoint(6n, 1))).rejects.toEqual(error('LOG_ROLLBACK', last));
    await expect(client.sign(checkpoint(7n, 2))).rejects.toEqual(error('LOG_ROLLBACK', last));
  });

  it('signs what the SDK asks for a ledger message and nothing that the policy bars', async () => {
    await writeTransactionPolicy(signer.policyFile, { hedera: { topics: ['0.0.1001'], maxFeeTinybars: '100000000' } });
    const client = open();
    const { versions } = await client.key('hedera-payer');
    const key = createPublicKey({ key: { ...versions[0]?.jwk }, format: 'jwk' });
    const bodies: Uint8Array[] = [];
    await new TopicMessageSubmitTransaction({ topicId: '0.0.1001', message: 'pl1|client.test|7|root' })
      .setMaxTransactionFee(new Hbar(1))
      .setTransactionId(TransactionId.generate('0.0.1002'))
      .setNodeAccountIds([AccountId.fromString('0.0.3'), AccountId.fromString('0.0.4')])
      .freeze()
      .signWith(PrivateKey.generateED25519().publicKey, async (body) => {
        bodies.push(body);
        return new Uint8Array(64);
      });
    const { signatures } = await client.signTransaction({ kid: 'hedera-payer', bodies });
    expect(bodies.map((body, n) => verify(null, body, key, signatures[n] as Uint8Array))).toEqual([true, true]);
    const [body = new Uint8Array()] = bodies;
    await expect(client.signTransaction({ kid: 'hedera-payer', bodies: [body, Buffer.from('x')] })).rejects.toEqual(
      error('SIGNER_REFUSED', { index: 1, signerCode: 'policy_denied' }),
    );
    await expect(client.signTransaction({ kid: 'seal', bodies: [body] })).rejects.toEqual(error('SIGNER_REFUSED'));
  });

  it('refuses a signer that shows another key than the one pinned', async () => {
    const {
      kty = '',
      crv = '',
      x = '',
      y = '',
    } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
    await expect(open({ pins: async () => ({ kty, crv, x, y }) }).sign(seal(1))).rejects.toEqual(
      error('SIGNER_BAD_SIGNATURE'),
    );
  });

  it('uses renewed certificate files from the next request on, without a restart', async () => {
    const files = { certFile: join(dir, 'own-cert.pem'), keyFile: join(dir, 'own-key.pem') };
    const put = async (from: { readonly certFile: string; readonly keyFile: string }) => {
      await copyFile(from.certFile, files.certFile);
      await copyFile(from.keyFile, files.keyFile);
    };
    await put(signer.keys.clients.tsa);
    let nowMs = 0;
    const client = open({ ...files, clock: { nowMs: () => nowMs, nowMicros: clock.nowMicros } });
    await expect(client.sign(seal(1))).rejects.toEqual(error('SIGNER_MTLS_REJECTED'));
    await put(signer.keys.clients.worker);
    nowMs += 1_000;
    await expect(client.sign(seal(1))).resolves.toBeDefined();
    // Half a renewal: the new certificate without its key. The pair before serves on.
    await copyFile(signer.keys.clients.tsa.certFile, files.certFile);
    nowMs += 1_000;
    await expect(client.sign(seal(1))).resolves.toBeDefined();
    await writeFile(files.keyFile, await readFile(signer.keys.clients.tsa.keyFile));
    nowMs += 1_000;
    await expect(client.sign(seal(1))).rejects.toEqual(error('SIGNER_MTLS_REJECTED'));
  });

  it('is told that its certificate was rejected when another root issued it', async () => {
    const other = await mkdtemp(join(tmpdir(), 'proofline-other-'));
    const foreign = await startSigner({ dir: other, clock });
    cleanups.push(foreign.stop, () => rm(other, { recursive: true }));
    await expect(open(foreign.keys.clients.worker).info()).rejects.toEqual(error('SIGNER_MTLS_REJECTED'));
    await expect(open({ caFile: foreign.keys.transportCaFile }).info()).rejects.toEqual(error('SIGNER_MTLS_REJECTED'));
  });

  it('signs on under load while the key rotates, every answer by one version', async () => {
    const client = open();
    let isRotated = false;
    const seen = new Set<number>();
    const work = async (): Promise<void> => {
      while (!isRotated) {
        const { primaryVersion = 0 } = await client.key('seal');
        const { version } = await client.sign(seal(20, { version: primaryVersion }));
        seen.add(version);
        isRotated = seen.has(2);
      }
    };
    const workers = [work(), work(), work(), work()];
    await rotateKey(dir, 'seal', clock);
    await Promise.all(workers);
    expect([...seen].toSorted()).toEqual([1, 2]);
    const { versions } = await client.key('seal');
    expect(versions.map((v) => [v.version, v.validTo !== undefined])).toEqual([
      [1, true],
      [2, false],
    ]);
  });
});
