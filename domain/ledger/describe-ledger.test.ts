import { describe, expect, it } from '@jest/globals';
import { anchorCost, describeNetwork, explorerLink, ledgerNotice } from './describe-ledger.ts';

describe('the words for a network', () => {
  it('say nothing beside the main network, and that every other proves nothing', () => {
    expect(ledgerNotice('mainnet')).toBeUndefined();
    expect(describeNetwork('mainnet')).toBe('mainnet');
    for (const network of ['testnet', 'previewnet'])
      expect(describeNetwork(network)).toContain('proves nothing in law');
    for (const network of ['simulator', 'localnet', 'mainnet2', 'Mainnet'])
      expect(describeNetwork(network)).toContain('not a public network');
  });

  it('name a message by its consensus timestamp', () => {
    expect(explorerLink('https://hashscan.io', 'testnet', '1683553060.092158003')).toBe(
      'https://hashscan.io/testnet/transaction/1683553060.092158003',
    );
  });
});

describe('the cost of an anchor', () => {
  it.each([
    [141_667n, 1n, '141667.0000'],
    [141_667n, 1_000n, '141.6670'],
    [100n, 3n, '33.3334'],
    [1n, 1_000_000n, '0.0001'],
    [141_667n, 0n, '141667.0000'],
  ])('of %i tinybars for %i proofs is %s each', (fee, leaves, each) => {
    expect(anchorCost(fee, leaves)).toEqual({
      feeTinybars: `${fee}`,
      sharedBy: `${leaves}`,
      tinybarsPerProof: each,
    });
  });
});
