import { describe, expect, it } from '@jest/globals';
import { type LedgerConfig, parseLedgerConfig } from './ledger-config.ts';

const GOOD: LedgerConfig = {
  kind: 'hedera-hcs/v1',
  network: 'simulator',
  nodes: { '127.0.20.3:50211': '0.0.3' },
  mirrors: ['http://127.0.0.1:5551'],
  mirrorQuorum: 1,
  topicId: '0.0.1003',
  payerAccountId: '0.0.1001',
  payerKeyRef: 'signer://hedera-payer',
  submitKeyRef: 'signer://hedera-submit@2',
  maxFeeTinybars: '10000000',
};

describe('the ledger file', () => {
  it('is read as written', () => {
    expect(parseLedgerConfig(JSON.stringify(GOOD))).toEqual(GOOD);
  });

  it('may name the registry contract', () => {
    const contract = { contractId: '0.0.7001', gas: 120_000, maxFeeTinybars: '20000000' };
    expect(parseLedgerConfig(JSON.stringify({ ...GOOD, contract })).contract).toEqual(contract);
    for (const bad of [
      { ...contract, gas: 20_000 },
      { ...contract, gas: 15_000_001 },
      { ...contract, contractId: '0x1' },
    ])
      expect(() => parseLedgerConfig(JSON.stringify({ ...GOOD, contract: bad }))).toThrow(/\$\.contract\./);
  });

  it('needs no nodes for a public network', () => {
    expect(parseLedgerConfig(JSON.stringify({ ...GOOD, network: 'testnet', nodes: {} })).network).toBe('testnet');
  });

  it.each([
    ['an unknown member', { ...GOOD, payerKey: 'x' }, /\$\.payerKey/],
    ['no topic', { ...GOOD, topicId: undefined }, /\$\.topicId/],
    ['a malformed account', { ...GOOD, payerAccountId: '1001' }, /\$\.payerAccountId/],
    ['a fee that is a number', { ...GOOD, maxFeeTinybars: 1 }, /\$\.maxFeeTinybars/],
    ['no mirror', { ...GOOD, mirrors: [] }, /\$\.mirrors/],
    ['one mirror twice', { ...GOOD, mirrors: [GOOD.mirrors[0], GOOD.mirrors[0]] }, /\$\.mirrors/],
    ['a mirror that is no URL', { ...GOOD, mirrors: ['ftp://x'] }, /\$\.mirrors\[0\]/],
    ['a quorum beyond its mirrors', { ...GOOD, mirrorQuorum: 2 }, /\$\.mirrorQuorum/],
    ['no nodes for a network of its own', { ...GOOD, nodes: {} }, /\$\.nodes/],
    ['a node without a port', { ...GOOD, nodes: { '127.0.20.3': '0.0.3' } }, /\$\.nodes/],
    ['a key that is not at the signer', { ...GOOD, payerKeyRef: 'env://KEY' }, /\$\.payerKeyRef/],
    ['a version that is none', { ...GOOD, submitKeyRef: 'signer://submit@0' }, /\$\.submitKeyRef/],
    ['a request shorter than one call', { ...GOOD, requestTimeoutMs: 4_000 }, /\$\.requestTimeoutMs/],
    ['a validity that nodes refuse', { ...GOOD, validSeconds: 200 }, /\$\.validSeconds/],
  ])('is refused with %s', (_, config, path) => {
    expect(() => parseLedgerConfig(JSON.stringify(config))).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', detail: expect.stringMatching(path) }),
    );
  });
});
