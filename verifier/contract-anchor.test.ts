import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Bundle, ContractAnchorEntry } from '../domain/bundle.ts';
import { parseBundle } from '../domain/bundle-parse.ts';
import {
  encodeAnchorCall,
  eventDataOf,
  longZeroAddress,
  registryEntryOf,
  topicsOf,
} from '../domain/ledger/checkpoint-registry.ts';
import type { TrustDocument } from '../domain/trust.ts';
import { assemble } from '../local/evidence/instance.ts';
import { makeScene, type Scene } from '../test/vectors/scene.ts';
import type { MirrorReader } from './mirror.ts';
import { verifyBundle } from './verify.ts';

const CONTRACT = '0.0.7001';
const NOW_MS = Date.parse('2026-11-24T08:00:00Z');
const CALL_PATH = '/contracts/results/0.0.2-1795420900-000000001';

let scene: Scene;
let trust: TrustDocument;
let entry: ContractAnchorEntry;

beforeAll(async () => {
  scene = await makeScene();
  const { network, message, payer } = scene.anchor;
  entry = {
    ledger: 'hedera-contract/v1',
    network,
    contractId: CONTRACT,
    consensusTimestamp: '1795420905.000000042',
    transactionId: '0.0.2@1795420900.000000001',
    payer: '0.0.2',
    message,
    publisher: longZeroAddress(2n),
  };
  expect(payer).toMatch(/^0\.0\./);
  trust = {
    ...scene.trust,
    ledgers: [...scene.trust.ledgers, { kind: 'hedera-contract/v1', network, contractId: CONTRACT }],
  };
});

type Row = Record<string, unknown>;

/** Shows both anchors, with what a test changes of the contract's. */
function mirror(change: { call?: Row; event?: Row; transaction?: Row; status?: number } = {}): MirrorReader {
  const anchor = registryEntryOf(entry.message);
  if (anchor === undefined) throw new Error('no entry of our own message');
  const answers: Record<string, unknown> = {
    [CALL_PATH]: {
      contract_id: CONTRACT,
      timestamp: entry.consensusTimestamp,
      status: '0x1',
      result: 'SUCCESS',
      from: entry.publisher,
      function_parameters: encodeAnchorCall(anchor),
      logs: [
        {
          contract_id: CONTRACT,
          topics: topicsOf(anchor, entry.publisher),
          data: eventDataOf(anchor),
          index: 0,
          ...change.event,
        },
      ],
      ...change.call,
    },
    '/transactions/0.0.2-1795420900-000000001': {
      transactions: [
        {
          result: 'SUCCESS',
          entity_id: CONTRACT,
          consensus_timestamp: entry.consensusTimestamp,
          ...change.transaction,
        },
      ],
    },
  };
  return {
    name: 'mirror',
    async read(path) {
      if (change.status !== undefined) return { status: change.status, body: undefined };
      return path in answers ? { status: 200, body: answers[path] } : { status: 404, body: undefined };
    },
  };
}

/** Anchored in the contract alone, and certified as that. */
function contractBundle(change: Partial<ContractAnchorEntry> = {}): Bundle {
  const { instance, sealed, early, good } = scene;
  return assemble(instance, {
    sealed,
    index: 3,
    log: early,
    timestamps: good.timestamps,
    anchors: [{ ...entry, ...change }],
  });
}

const verify = (bundle: Bundle, mirrors: readonly MirrorReader[] = [], known = trust) =>
  verifyBundle(JSON.stringify(bundle), { trust: known, mirrors, nowMs: NOW_MS });

describe('an anchor in the registry contract', () => {
  it('is unverified offline, and lowers nothing', async () => {
    const result = await verify(contractBundle());
    expect(result.claims.anchor).toMatchObject({ verdict: 'unverified', reason: 'ledger-not-consulted' });
    expect(result.claims.certificate.verdict).toBe('valid');
    expect(result.overall).toBe('valid');
  });

  it('is valid when the mirror shows the call, its event and its transaction', async () => {
    const { claims, overall } = await verify(contractBundle(), [mirror()]);
    expect(claims.anchor).toMatchObject({ verdict: 'valid', at: '2026-11-23T08:01:45.000000042Z' });
    expect(claims.anchor.detail).toContain('proves nothing to others');
    expect(overall).toBe('valid');
  });

  it('may stand beside the message, on which the certificate rests', async () => {
    const bundle = { ...scene.good, anchors: [...scene.good.anchors, entry] };
    expect(parseBundle(JSON.stringify(bundle)).anchors).toEqual(bundle.anchors);
    const { claims, overall } = await verify(bundle);
    expect([claims.anchor.verdict, claims.certificate.verdict, overall]).toEqual(['unverified', 'valid', 'valid']);
  });

  it.each<[string, Parameters<typeof mirror>[0]]>([
    ['reverted', { call: { status: '0x0', result: 'CONTRACT_REVERT_EXECUTED', logs: [] } }],
    ['was made by another', { call: { from: longZeroAddress(3n) } }],
    ['went to another contract', { call: { contract_id: '0.0.7002' } }],
    ['bears another time', { call: { timestamp: '1795420905.000000043' } }],
    ['had other arguments', { call: { function_parameters: '0x427dc920' } }],
    ['told of another root', { event: { data: `0x${'00'.repeat(64)}` } }],
    ['made an event of another contract', { event: { contract_id: '0.0.7002' } }],
    ['made no event', { call: { logs: [] } }],
    ['made two events', { call: { logs: [{}, {}] } }],
    ['is of no successful transaction', { transaction: { result: 'CONTRACT_REVERT_EXECUTED' } }],
    ['is of a transaction about something else', { transaction: { entity_id: '0.0.7002' } }],
    ['is not shown long after', { status: 404 }],
  ])('is invalid when the call %s', async (_, change) => {
    const { claims, overall } = await verify(contractBundle(), [mirror(change)]);
    expect(claims.anchor).toMatchObject({ verdict: 'invalid', reason: 'ledger-differs' });
    expect(overall).toBe('invalid');
  });

  it('is unverified while a mirror fails', async () => {
    const { claims, overall } = await verify(contractBundle(), [mirror(), mirror({ status: 503 })]);
    expect(claims.anchor).toMatchObject({ verdict: 'unverified', reason: 'ledger-unavailable' });
    expect(overall).toBe('unverified');
  });

  it('is invalid in a contract that the trust file does not list', async () => {
    for (const change of [{ contractId: '0.0.7002' }, { network: 'mainnet' }]) {
      const { claims } = await verify(contractBundle(change));
      expect(claims.anchor).toMatchObject({ verdict: 'invalid', reason: 'ledger-not-in-trust-file' });
    }
    const { claims } = await verify(contractBundle(), [], scene.trust);
    expect(claims.anchor.reason).toBe('ledger-not-in-trust-file');
  });

  it('is invalid for another checkpoint, or when its transaction is not the payer’s', async () => {
    const other = await verify(contractBundle({ message: scene.lateAnchor.message }));
    expect(other.claims.anchor.reason).toBe('anchor-of-other-checkpoint');
    const stranger = await verify(contractBundle({ payer: '0.0.3' }));
    expect(stranger.claims.anchor.reason).toBe('anchor-inconsistent');
  });

  it('is not the one that the certificate names once any of its members is another', async () => {
    const bundle = contractBundle();
    for (const change of [{ consensusTimestamp: '1795420905.000000043' }, { publisher: longZeroAddress(3n) }]) {
      const { claims } = await verify({ ...bundle, anchors: [{ ...entry, ...change }] });
      expect(claims.certificate).toMatchObject({ verdict: 'invalid', reason: 'certificate-names-other' });
    }
  });

  it('is refused whole with a member of the other kind, or a publisher that has a second spelling', async () => {
    for (const change of [
      { topicId: '0.0.9' },
      { publisher: entry.publisher.toUpperCase() },
      { contractId: '0.0.07' },
    ]) {
      const { claims } = await verify({ ...scene.good, anchors: [{ ...entry, ...change }] } as Bundle);
      expect(claims.anchor.reason).toBe('bundle-malformed');
    }
  });
});
