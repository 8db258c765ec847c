import { writeFile } from 'node:fs/promises';
import { AccountId, ContractExecuteTransaction, Hbar, PrivateKey, PublicKey, TransactionId } from '@hashgraph/sdk';
import { describe, expect, it } from '@jest/globals';
import { selectorOf } from './contract-call.ts';
import { b64, useTestSigner } from './test-signer.ts';
import { writeTransactionPolicy } from './transaction-policy.ts';

const test = useTestSigner(['hedera-ecdsa']);
const { call } = test;

describe('signer/1 on transactions', () => {
  it('signs no transaction without a policy and takes a new policy at once', async () => {
    const refusal = async () =>
      (await call('worker', '/v1/keys/hedera-payer/sign-transaction', { kind: 'hedera', bodies: [b64('x')] })).json
        .detail;
    expect(await refusal()).toMatch(/no usable policy/);
    await writeTransactionPolicy(test.signer.policyFile, { hedera: { topics: ['0.0.1'], maxFeeTinybars: '1' } });
    expect(await refusal()).toMatch(/is not a transaction body/);
    // Refusals are told to whoever reads the log, with who asked.
    expect(test.events.at(-1)).toEqual(
      expect.objectContaining({ event: 'refused', code: 'policy_denied', by: 'proofline-worker' }),
    );
    await writeFile(test.signer.policyFile, '{"hedera":');
    expect(await refusal()).toMatch(/no usable policy/);
  });

  it('signs Hedera transactions with either kind of key, and an Ethereum one only as far as the policy goes', async () => {
    const registry = '0.0.2001';
    await writeTransactionPolicy(test.signer.policyFile, {
      hedera: {
        topics: [],
        maxFeeTinybars: '200000000',
        contracts: [{ id: registry, functions: ['anchor(bytes32,uint64,uint64,bytes32)'], maxGas: '300000' }],
      },
    });
    const bodies: Uint8Array[] = [];
    await new ContractExecuteTransaction()
      .setContractId(registry)
      .setGas(300_000)
      .setFunctionParameters(Buffer.concat([selectorOf('anchor(bytes32,uint64,uint64,bytes32)'), new Uint8Array(128)]))
      .setMaxTransactionFee(new Hbar(2))
      .setTransactionId(TransactionId.generate('0.0.2'))
      .setNodeAccountIds([AccountId.fromString('0.0.3')])
      .freeze()
      .signWith(PrivateKey.generateED25519().publicKey, async (body) => {
        bodies.push(body);
        return new Uint8Array(64);
      });
    const client = test.client('worker');
    expect((await client.signTransaction({ kid: 'hedera-payer', bodies })).signatures).toHaveLength(1);
    const { signatures } = await client.signTransaction({ kid: 'hedera-ecdsa', alg: 'ES256K-KECCAK', bodies });
    const { versions } = await client.key('hedera-ecdsa');
    const { x = '', y = '' } = versions[0]?.jwk ?? {};
    const isOdd = (Buffer.from(y, 'base64url').at(-1) ?? 0) & 1;
    const point = Buffer.concat([Buffer.of(2 + isOdd), Buffer.from(x, 'base64url')]);
    // The SDK's own verification: Keccak-256, r‖s.
    expect(PublicKey.fromBytesECDSA(point).verify(bodies[0] as Uint8Array, signatures[0] as Uint8Array)).toBe(true);
    await expect(
      client.signTransaction({ kid: 'hedera-ecdsa', kind: 'evm', alg: 'ES256K-KECCAK', bodies }),
    ).rejects.toThrow('alg_not_allowed');
    await client.close();
  });
});
