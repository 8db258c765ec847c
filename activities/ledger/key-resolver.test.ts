import { verify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { proto } from '@hiero-ledger/proto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Long from 'long';
import { systemClock } from '../../domain/clock.ts';
import { rotateKey } from '../../local/signer/admin.ts';
import { policyFileOf, type RunningSigner, startSigner } from '../../local/signer/start-signer.ts';
import { writeTransactionPolicy } from '../../local/signer/transaction-policy.ts';
import { until } from '../../test/support/until.ts';
import { createSignerClient, type Signer } from '../sealing/signer-client.ts';
import { parseKeyRef, resolveAtSigner } from './key-resolver.ts';

const clock = systemClock();
const entity = (num: number) => ({ shardNum: Long.ZERO, realmNum: Long.ZERO, num: Long.fromNumber(num) });

let folder: string;
let signer: RunningSigner;
let client: Signer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'key-resolver-'));
  signer = await startSigner({ dir: folder, clock });
  await writeTransactionPolicy(policyFileOf(signer.keys), { hedera: { topics: ['0.0.7'], maxFeeTinybars: '100' } });
  const { transportCaFile, clients } = signer.keys;
  client = createSignerClient({ url: signer.url, caFile: transportCaFile, ...clients.worker, clock });
});
afterAll(async () => {
  await client.close();
  await signer.stop();
  rmSync(folder, { recursive: true });
});

/** A body that the policy allows. */
function submitBody(message: string): Uint8Array {
  const { shardNum, realmNum, num } = entity(5);
  return proto.TransactionBody.encode({
    transactionID: {
      accountID: { shardNum, realmNum, accountNum: num },
      transactionValidStart: { seconds: Long.fromNumber(Math.floor(clock.nowMs() / 1_000)), nanos: 0 },
    },
    nodeAccountID: { shardNum, realmNum, accountNum: Long.fromNumber(3) },
    transactionFee: Long.fromNumber(100),
    transactionValidDuration: { seconds: Long.fromNumber(120) },
    consensusSubmitMessage: {
      topicID: { shardNum, realmNum, topicNum: Long.fromNumber(7) },
      message: Buffer.from(message),
    },
  }).finish();
}

const isSignedBy = (publicKey: Uint8Array, body: Uint8Array, signature: Uint8Array | undefined): boolean =>
  verify(
    null,
    body,
    { key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') }, format: 'jwk' },
    signature ?? new Uint8Array(),
  );

describe('the name of a key', () => {
  it('is signer://kid, with the version or without', () => {
    expect(parseKeyRef('signer://hedera-submit')).toEqual({ kid: 'hedera-submit' });
    expect(parseKeyRef('signer://hedera-submit@12')).toEqual({ kid: 'hedera-submit', version: 12 });
  });

  it.each([
    '',
    'hedera-submit',
    'signer://',
    'signer://a@',
    'signer://a@0',
    'signer://a@01',
    'signer://a/b',
    'env://KEY',
    'pkcs8-file://k.pem',
  ])('is never %j', (text) => {
    expect(parseKeyRef(text)).toBeUndefined();
  });
});

describe('a key at the signer', () => {
  it('signs by the version that it was resolved to, also while another has become the primary', async () => {
    const keys = resolveAtSigner(client);
    const before = await keys.resolve('signer://hedera-submit');
    expect(before.keyRef).toBe('signer://hedera-submit@1');
    await rotateKey(folder, 'hedera-submit', clock);
    const primary = () => keys.resolve('signer://hedera-submit');
    const after = await until(primary, ({ keyRef }) => keyRef === 'signer://hedera-submit@2', 15_000);
    const body = submitBody(`pl1|${'0'.repeat(16)}|1|${'A'.repeat(43)}`);
    const pinned = await keys.resolve('signer://hedera-submit@1');
    for (const key of [before, after, pinned]) {
      const [signature] = await key.sign([body]);
      expect(isSignedBy(key.publicKey, body, signature)).toBe(true);
    }
    expect(pinned.publicKey).toEqual(before.publicKey);
    expect(after.publicKey).not.toEqual(before.publicKey);
  }, 20_000);

  it('is refused for an unknown key, an unknown version, and one of another kind', async () => {
    const keys = resolveAtSigner(client);
    await expect(keys.resolve('signer://nobody')).rejects.toMatchObject({ code: 'SIGNER_REFUSED' });
    await expect(keys.resolve('signer://hedera-payer@9')).rejects.toMatchObject({ code: 'SIGNER_KEY_NOT_ACTIVE' });
    await expect(keys.resolve('signer://seal')).rejects.toMatchObject({ code: 'SIGNER_BAD_ANSWER' });
    await expect(keys.resolve('pkcs8-file://payer.pem')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
