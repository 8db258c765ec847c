/** Anchors in the registry contract: alone, beside the message, later than the certificate, and broken. */
import type { AnchorEntry, Bundle, ContractAnchorEntry } from '../../domain/bundle.ts';
import { longZeroAddress } from '../../domain/ledger/checkpoint-registry.ts';
import { assemble } from '../../local/evidence/instance.ts';
import type { Scene } from './scene.ts';
import { every, type Vector } from './vector.ts';

const CONTRACT = '0.0.7001';
const PUBLISHER_NUM = 1001n;
const OTHER = {
  certificate: ['invalid', 'certificate-names-other'],
  licence: ['unverified', 'certificate-not-valid'],
} as const;

export function contractVectors(scene: Scene): Vector[] {
  const { instance, sealed, early, late, good, anchor, lateAnchor } = scene;
  const entry = entryFor(anchor, '1795420905.000000042');
  const trust = {
    ...scene.trust,
    ledgers: [
      ...scene.trust.ledgers,
      { kind: 'hedera-contract/v1' as const, network: entry.network, contractId: CONTRACT },
    ],
  };
  const certified = (anchors: readonly AnchorEntry[]): Bundle =>
    assemble(instance, { sealed, index: 3, log: early, timestamps: good.timestamps, anchors });
  const alone = certified([entry]);
  const changed = (change: Partial<ContractAnchorEntry>): Bundle => ({ ...alone, anchors: [{ ...entry, ...change }] });
  const vector = (name: string, says: string, bundle: unknown, claims: Vector['claims'], more = {}): Vector => ({
    name,
    says,
    bundle,
    trust,
    overall: name.startsWith('good-') ? 'valid' : 'invalid',
    ...(claims === undefined ? {} : { claims }),
    ...more,
  });
  return [
    vector('good-contract-anchor', 'Anchored in the contract alone, and certified as that.', alone, undefined),
    vector(
      'good-contract-anchor-beside-message',
      'On the topic, which the certificate names, and in the contract too.',
      { ...good, anchors: [anchor, entry] },
      undefined,
    ),
    vector(
      'good-contract-anchor-later-than-certificate',
      'A later checkpoint was anchored in the contract, after the certificate stated no anchor; it stands alone.',
      {
        ...certified([]),
        anchors: [
          {
            ...entryFor(lateAnchor, '1795424505.000000042'),
            checkpoint: late.note,
            inclusion: late.inclusionOf(3),
          },
        ],
      },
      undefined,
    ),
    vector(
      'bad-contract-anchor-contract',
      "The contract is not one of the trust file's.",
      changed({ contractId: '0.0.6666' }),
      { anchor: ['invalid', 'ledger-not-in-trust-file'], ...OTHER },
    ),
    vector(
      'bad-contract-anchor-unlisted',
      'The trust file lists the topic and no contract.',
      alone,
      { anchor: ['invalid', 'ledger-not-in-trust-file'] },
      { trust: scene.trust },
    ),
    vector(
      'bad-contract-anchor-own-checkpoint',
      'The entry is of another checkpoint.',
      changed({ message: lateAnchor.message }),
      { anchor: ['invalid', 'anchor-of-other-checkpoint'], ...OTHER },
    ),
    vector(
      'bad-contract-anchor-payer',
      'Another account paid than the one of the transaction.',
      changed({ transactionId: entry.transactionId.replace(/^[^@]+/, '0.0.1003') }),
      { anchor: ['invalid', 'anchor-inconsistent'], ...OTHER },
    ),
    vector(
      'bad-contract-anchor-publisher',
      'The publisher was changed: nothing on the anchor but the certificate shows it.',
      changed({ publisher: longZeroAddress(1003n) }),
      OTHER,
    ),
    vector(
      'bad-contract-anchor-swapped',
      'The contract stands in for the message that the certificate names.',
      { ...good, anchors: [entry] },
      OTHER,
    ),
    vector(
      'malformed-contract-anchor-publisher',
      'A publisher in capital letters.',
      changed({ publisher: `0x${'AB'.repeat(20)}` }),
      every(['invalid', 'bundle-malformed']),
    ),
    vector(
      'malformed-contract-anchor-topic',
      'An entry of the contract with a topic.',
      { ...alone, anchors: [{ ...entry, topicId: anchor.topicId }] },
      every(['invalid', 'bundle-malformed']),
    ),
  ];
}

/** What the contract would hold of the checkpoint that a message names. */
function entryFor(
  { network, message, payer }: Pick<ContractAnchorEntry, 'network' | 'message' | 'payer'>,
  consensusTimestamp: string,
): ContractAnchorEntry {
  return {
    ledger: 'hedera-contract/v1',
    network,
    contractId: CONTRACT,
    consensusTimestamp,
    transactionId: `${payer}@${consensusTimestamp.slice(0, 9)}0.000000001`,
    payer,
    publisher: longZeroAddress(PUBLISHER_NUM),
    message,
  };
}
