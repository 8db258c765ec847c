import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Bundle, HcsAnchorEntry } from '../domain/bundle.ts';
import { parseBundle } from '../domain/bundle-parse.ts';
import { parseTrustDocument } from '../domain/trust-parse.ts';
import type { MirrorReader } from './mirror.ts';
import type { VerificationResult } from './verdict.ts';
import { verifyBundle } from './verify.ts';

const folder = join(import.meta.dirname, 'vectors', 'good-anchored');
const bundle = parseBundle(readFileSync(join(folder, 'bundle.json'), 'utf8'));
const trust = parseTrustDocument(readFileSync(join(folder, 'trust.json'), 'utf8'));
const [anchor] = bundle.anchors as unknown as [HcsAnchorEntry];
const nowMs = Date.parse('2026-11-24T08:00:00Z');

const base64 = (base64url: string): string => Buffer.from(base64url, 'base64url').toString('base64');

type Row = Record<string, unknown>;

/** A mirror that shows exactly the anchor, with what a test changes. */
function mirrorOf(
  change: { row?: Row; before?: Row; transaction?: Row; status?: number; name?: string } = {},
): MirrorReader & { readonly paths: string[] } {
  const sequence = Number(anchor.sequenceNumber);
  const messages = `/topics/${anchor.topicId}/messages`;
  const [payer, start = ''] = anchor.transactionId.split('@');
  const answers: Record<string, unknown> = {
    [`${messages}/${sequence}`]: {
      topic_id: anchor.topicId,
      sequence_number: sequence,
      consensus_timestamp: anchor.consensusTimestamp,
      payer_account_id: anchor.payer,
      message: Buffer.from(anchor.message).toString('base64'),
      running_hash: base64(anchor.runningHash),
      running_hash_version: 3,
      ...change.row,
    },
    [`${messages}/${sequence - 1}`]: { running_hash: base64(anchor.prevRunningHash), ...change.before },
    [`/transactions/${payer}-${start.replace('.', '-')}`]: {
      transactions: [
        {
          result: 'SUCCESS',
          entity_id: anchor.topicId,
          consensus_timestamp: anchor.consensusTimestamp,
          ...change.transaction,
        },
      ],
    },
  };
  const paths: string[] = [];
  return {
    name: change.name ?? 'mirror',
    paths,
    async read(path) {
      paths.push(path);
      if (change.status !== undefined) return { status: change.status, body: undefined };
      return path in answers ? { status: 200, body: answers[path] } : { status: 404, body: undefined };
    },
  };
}

const verify = (
  mirrors: readonly MirrorReader[],
  more: { bundle?: Bundle; nowMs?: number } = {},
): Promise<VerificationResult> => verifyBundle(more.bundle ?? bundle, { trust, nowMs: more.nowMs ?? nowMs, mirrors });

describe('an anchor asked of mirrors', () => {
  it('is valid when message, predecessor and transaction are shown', async () => {
    const result = await verify([mirrorOf()]);
    expect(result.claims.anchor).toMatchObject({
      verdict: 'valid',
      reason: 'anchor-on-ledger',
      at: '2026-11-23T08:00:05.000000042Z',
    });
    expect(result).toMatchObject({ overall: 'valid', consulted: { ledger: true } });
  });

  it('is spoken of with what its network does not prove, and with a link where the trust file names an explorer', async () => {
    const ledgers = trust.ledgers.map((one) => ({ ...one, explorer: 'https://explorer.example' }));
    const result = await verifyBundle(bundle, { trust: { ...trust, ledgers }, nowMs, mirrors: [mirrorOf()] });
    expect(result.claims.anchor.detail).toContain(
      `https://explorer.example/${anchor.network}/transaction/${anchor.consensusTimestamp}`,
    );
    expect(result.claims.anchor.detail).toContain(`${anchor.network} (`);
    expect(result.claims.anchor.detail).toContain('proves nothing');
  });

  it.each<[string, Parameters<typeof mirrorOf>[0]]>([
    ['message', { row: { message: Buffer.from('pl1|other').toString('base64') } }],
    ['topic', { row: { topic_id: '0.0.1' } }],
    ['consensus timestamp', { row: { consensus_timestamp: '1795420805.000000043' } }],
    ['payer', { row: { payer_account_id: '0.0.1' } }],
    ['running hash', { row: { running_hash: base64(anchor.prevRunningHash) } }],
    ['running hash version', { row: { running_hash_version: 2 } }],
    ['running hash of the message before', { before: { running_hash: base64(anchor.runningHash) } }],
    ['transaction result', { transaction: { result: 'INVALID_SIGNATURE' } }],
    ['transaction topic', { transaction: { entity_id: '0.0.1' } }],
    ['transaction time', { transaction: { consensus_timestamp: '1.000000000' } }],
  ])('is invalid when a mirror shows another %s', async (_, change) => {
    const result = await verify([mirrorOf(), mirrorOf({ ...change, name: 'second' })]);
    expect(result).toMatchObject({
      overall: 'invalid',
      claims: { anchor: { verdict: 'invalid', reason: 'ledger-differs' } },
    });
    expect(result.claims.anchor.detail).toContain('second');
  });

  it('is invalid when a mirror that had time enough does not have the message', async () => {
    const result = await verify([mirrorOf({ status: 404 })]);
    expect(result.claims.anchor).toMatchObject({ verdict: 'invalid', reason: 'ledger-differs' });
  });

  it('is unverified when a mirror may still be behind', async () => {
    const result = await verify([mirrorOf({ status: 404 })], { nowMs: Date.parse('2026-11-23T08:01:00Z') });
    expect(result.claims.anchor).toMatchObject({ verdict: 'unverified', reason: 'ledger-behind' });
    expect(result.overall).toBe('unverified');
  });

  it.each([429, 500, 503])('is unverified when one of two mirrors answers %i', async (status) => {
    const result = await verify([mirrorOf(), mirrorOf({ status })]);
    expect(result.claims.anchor).toMatchObject({ verdict: 'unverified', reason: 'ledger-unavailable' });
    expect(result.overall).toBe('unverified');
  });

  it('is unverified when a mirror cannot be reached', async () => {
    const silent: MirrorReader = {
      name: 'silent',
      read: async () => Promise.reject(new Error('connect ECONNREFUSED')),
    };
    const result = await verify([silent]);
    expect(result.claims.anchor).toMatchObject({ verdict: 'unverified', reason: 'ledger-unavailable' });
  });

  it('is not asked about when its own numbers contradict each other', async () => {
    const mirror = mirrorOf();
    const broken = { ...bundle, anchors: [{ ...anchor, runningHash: anchor.prevRunningHash }] };
    expect((await verify([mirror], { bundle: broken })).claims.anchor.reason).toBe('anchor-inconsistent');
    expect(mirror.paths).toEqual([]);
  });
});
