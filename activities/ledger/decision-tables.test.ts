import { describe, expect, it } from '@jest/globals';
import { decideReceipt, decideSubmit, PRECHECK_DECISIONS, RECEIPT_DECISIONS } from './decision-tables.ts';

describe('precheck answers', () => {
  it.each([
    ['sent', ['OK', 'DUPLICATE_TRANSACTION']],
    [
      'resend',
      [
        'BUSY',
        'UNKNOWN',
        'PLATFORM_TRANSACTION_NOT_CREATED',
        'PLATFORM_NOT_ACTIVE',
        'WAITING_FOR_LEDGER_ID',
        'INVALID_TRANSACTION_START',
        'INVALID_NODE_ACCOUNT',
      ],
    ],
    ['too-late', ['TRANSACTION_EXPIRED']],
    [
      'rejected',
      [
        'INVALID_SIGNATURE',
        'INSUFFICIENT_TX_FEE',
        'INSUFFICIENT_PAYER_BALANCE',
        'PAYER_ACCOUNT_NOT_FOUND',
        'MEMO_TOO_LONG',
        'INVALID_TOPIC_MESSAGE',
        'TRANSACTION_OVERSIZE',
        'NOT_SUPPORTED',
      ],
    ],
  ] as const)('that mean %s', (decision, statuses) => {
    for (const status of statuses) expect([status, decideSubmit(status)]).toEqual([status, decision]);
    const listed = Object.entries(PRECHECK_DECISIONS).filter(([, value]) => value === decision);
    expect(listed.map(([status]) => status).sort()).toEqual([...statuses].sort());
  });

  it('stop for a person when the network invents a new one', () => {
    expect(decideSubmit('SOMETHING_NEW')).toBe('rejected');
    expect(decideSubmit('constructor')).toBe('rejected');
  });
});

describe('statuses after consensus', () => {
  it.each([
    ['consensus', ['SUCCESS']],
    ['pending', ['OK', 'UNKNOWN', 'RECEIPT_NOT_FOUND', 'BUSY', 'PLATFORM_NOT_ACTIVE', 'DUPLICATE_TRANSACTION']],
    ['abandoned', ['THROTTLED_AT_CONSENSUS', 'TRANSACTION_EXPIRED']],
    [
      'failed',
      [
        'INVALID_TOPIC_ID',
        'INVALID_SIGNATURE',
        'MESSAGE_SIZE_TOO_LARGE',
        'TOPIC_EXPIRED',
        'INSUFFICIENT_PAYER_BALANCE',
        'PAYER_ACCOUNT_NOT_FOUND',
      ],
    ],
  ] as const)('that mean %s', (decision, statuses) => {
    for (const status of statuses) expect([status, decideReceipt(status)]).toEqual([status, decision]);
    const listed = Object.entries(RECEIPT_DECISIONS).filter(([, value]) => value === decision);
    expect(listed.map(([status]) => status).sort()).toEqual([...statuses].sort());
  });

  it('count as failed when they are new', () => {
    expect(decideReceipt('SOMETHING_NEW')).toBe('failed');
  });
});
