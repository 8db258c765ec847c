import { describe, expect, it } from '@jest/globals';
import type { HcsAnchorEntry } from '../bundle.ts';
import { findAnchorEntryFault } from './anchor-entry.ts';
import {
  formatMirrorTransactionId,
  formatTransactionId,
  parseEntityId,
  parseLedgerTime,
  parseTransactionId,
} from './entity-id.ts';

const b64url = (base64: string): string => base64.replaceAll('+', '-').replaceAll('/', '_');

/** Testnet topic 0.0.4603900, second message. */
const ENTRY: HcsAnchorEntry = {
  ledger: 'hedera-hcs/v1',
  network: 'testnet',
  topicId: '0.0.4603900',
  sequenceNumber: '2',
  consensusTimestamp: '1683553060.092158003',
  transactionId: '0.0.2617920@1683553052.000000000',
  payer: '0.0.2617920',
  message: 'Message 2',
  prevRunningHash: b64url('vKnW8bYSjhYtHtMNOJWrkfyv77kKc4EREDycKE2L37aU0SYlx+g6HB9ah7CTFSxl'),
  runningHash: b64url('JM8LpmRwUVc+wiwzRHBgcCv8uJkbfan8BV2QPC0hBMgXA9KIvy8TwOoXsukgmeC+'),
};

describe('anchor entry', () => {
  it('has no fault when its running hash follows', () => {
    expect(findAnchorEntryFault(ENTRY)).toBeUndefined();
  });

  it.each([
    ['message', 'Message 3'],
    ['topicId', '0.0.4603901'],
    ['payer', '0.0.2617921'],
    ['sequenceNumber', '3'],
    ['consensusTimestamp', '1683553060.092158004'],
    ['prevRunningHash', ENTRY.runningHash],
    ['runningHash', ENTRY.prevRunningHash],
  ] as const)('has a fault when its %s is another', (member, value) => {
    expect(findAnchorEntryFault({ ...ENTRY, [member]: value })).toMatch(/does not follow/);
  });

  it.each([
    ['payer', '0.0.01'],
    ['topicId', '0.0'],
    ['consensusTimestamp', '1683553060.92158003'],
    ['transactionId', '0.0.2617920-1683553052-000000000'],
    ['sequenceNumber', '0'],
    ['prevRunningHash', 'AA'],
    ['runningHash', ''],
  ] as const)('has a fault when its %s is malformed', (member, value) => {
    expect(findAnchorEntryFault({ ...ENTRY, [member]: value })).toContain(member);
  });
});

describe('names of Hedera', () => {
  it('refuse every second spelling', () => {
    for (const text of ['', '0.0', '0.0.1.2', '00.0.1', '0.0.-1', ' 0.0.1', '0.0.9223372036854775808']) {
      expect(parseEntityId(text)).toBeUndefined();
    }
    for (const text of ['1', '1.5', '01.000000000', '1.0000000000']) expect(parseLedgerTime(text)).toBeUndefined();
    for (const text of ['0.0.5', '@1.000000000', '0.0.5@1']) expect(parseTransactionId(text)).toBeUndefined();
  });

  it('write a transaction id for people and for mirrors', () => {
    const id = parseTransactionId('0.0.5@1700000000.000000001');
    if (id === undefined) throw new Error('not read');
    expect(formatTransactionId(id)).toBe('0.0.5@1700000000.000000001');
    expect(formatMirrorTransactionId(id)).toBe('0.0.5-1700000000-000000001');
  });
});
