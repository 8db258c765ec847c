/** Bundles with every claim broken, and parts of good ones put together. */
import { createHash } from 'node:crypto';
import type { Bundle, HcsAnchorEntry, StoredToken } from '../../domain/bundle.ts';
import { fromBase64Url, toBase64Url } from '../../domain/bytes.ts';
import type { CertificatePayload } from '../../domain/certificate.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import {
  anchorOf,
  assemble,
  certify,
  checkpointOf,
  payloadOf,
  sealProof,
  stamp,
} from '../../local/evidence/instance.ts';
import { p256, publish } from '../../local/evidence/keys.ts';
import { withSealKey } from './good-vectors.ts';
import type { Scene } from './scene.ts';
import type { Vector } from './vector.ts';

const LICENCE = { licence: ['unverified', 'certificate-not-valid'] } as const;
const OTHER = { certificate: ['invalid', 'certificate-names-other'], ...LICENCE } as const;
const BAD_TOKEN = { timestamp: ['invalid', 'token-bad'], key: ['unverified', 'no-trusted-time'] } as const;

export async function badVectors(scene: Scene): Promise<Vector[]> {
  const { instance, trust, good } = scene;
  const bad = (
    name: string,
    says: string,
    bundle: unknown,
    claims: Vector['claims'],
    more: Partial<Vector> = {},
  ): Vector => ({
    name: `bad-${name}`,
    says,
    bundle,
    trust,
    overall: 'invalid',
    ...(claims === undefined ? {} : { claims }),
    ...more,
  });
  const inclusion = good.inclusion as NonNullable<Bundle['inclusion']>;
  const [token] = good.timestamps as [Bundle['timestamps'][number]];
  const { anchor } = scene;
  const resealed = {
    certificate: ['invalid', 'certificate-names-other'],
    inclusion: ['invalid', 'not-included'],
    anchor: ['invalid', 'anchor-not-covering'],
    ...LICENCE,
  } as const;
  const restamp = (one: Partial<Bundle['timestamps'][number]>): Bundle => ({
    ...good,
    timestamps: [{ ...token, ...one }],
  });
  const reanchor = (one: Partial<HcsAnchorEntry>): Bundle => ({ ...good, anchors: [{ ...anchor, ...one }] });
  const lying = (change: (payload: CertificatePayload) => CertificatePayload): Bundle => ({
    ...good,
    certificate: certify(instance.certificate, change(payloadOf(good, anchor))),
  });
  return [
    bad(
      'digest',
      'The file is another one.',
      good,
      { digest: ['invalid', 'digest-differs'] },
      { file: 'another file\n' },
    ),
    bad(
      'statement',
      'The receipt time was changed.',
      { ...good, statement: { ...good.statement, receivedAt: '2026-11-22T08:00:00.000123Z' } },
      { seal: ['invalid', 'seal-bad'], ...resealed },
    ),
    bad(
      'seal',
      'One bit of the seal is flipped.',
      { ...good, seal: flipLastPart(good.seal) },
      { seal: ['invalid', 'seal-bad'], ...resealed },
    ),
    bad(
      'seal-header',
      'The seal says alg none.',
      { ...good, seal: `${toBase64Url(new TextEncoder().encode('{"alg":"none"}'))}..${good.seal.split('.')[2]}` },
      { seal: ['invalid', 'seal-malformed'], ...resealed },
    ),
    bad(
      'key-outside-window',
      'The seal key ended before the timestamp.',
      good,
      { key: ['invalid', 'key-outside-window'] },
      { trust: withSealKey(scene, { state: 'verify-only', validTo: '2026-11-23T07:00:00Z' }) },
    ),
    bad(
      'key-not-yet',
      'The seal key began after the timestamp.',
      good,
      { key: ['invalid', 'key-outside-window'] },
      { trust: withSealKey(scene, { validFrom: '2026-11-23T09:00:00Z' }) },
    ),
    bad(
      'key-compromised-before',
      'The seal key was compromised before the timestamp.',
      good,
      { key: ['invalid', 'key-compromised'] },
      { trust: withSealKey(scene, { state: 'compromised', compromisedAt: '2026-11-23T07:00:00Z' }) },
    ),
    bad(
      'key-compromised-unknown-since',
      'The seal key was compromised, nobody knows since when.',
      good,
      { key: ['invalid', 'key-compromised'] },
      { trust: withSealKey(scene, { state: 'compromised' }) },
    ),
    bad(
      'key-differs',
      'The bundle shows another key under the name of ours.',
      {
        ...good,
        keys: good.keys.map((key) => (key.purpose === 'seal' ? publish(p256('seal', 1, 'thief'), 'seal') : key)),
      },
      { key: ['invalid', 'key-differs-from-trust-file'] },
    ),
    bad(
      'inclusion-path',
      'One hash of the path is changed.',
      { ...good, inclusion: { ...inclusion, path: inclusion.path.map((hash, i) => (i === 1 ? flip(hash) : hash)) } },
      { inclusion: ['invalid', 'not-included'], anchor: ['invalid', 'anchor-not-covering'] },
    ),
    bad(
      'inclusion-index',
      'The leaf is said to be its neighbour.',
      { ...good, inclusion: { ...inclusion, index: '2' } },
      { inclusion: ['invalid', 'not-included'], anchor: ['invalid', 'anchor-not-covering'], ...OTHER },
    ),
    bad(
      'inclusion-size',
      'The path is said to be of a larger tree.',
      { ...good, inclusion: { ...inclusion, size: '8' } },
      { inclusion: ['invalid', 'other-tree'], anchor: ['invalid', 'anchor-not-covering'], ...OTHER },
    ),
    bad(
      'checkpoint-signature',
      'One bit of the log signature is flipped.',
      { ...good, checkpoint: flipNote(good.checkpoint ?? '') },
      { checkpoint: ['invalid', 'checkpoint-bad'] },
    ),
    bad(
      'checkpoint-unsigned',
      'The checkpoint is signed by an unknown key alone.',
      {
        ...good,
        checkpoint: (await checkpointOf({ ...instance, log: scene.stranger.log }, scene.leaves.slice(0, 7))).note,
      },
      { checkpoint: ['invalid', 'checkpoint-bad'] },
    ),
    bad(
      'checkpoint-log-key-window',
      'The log key did not sign for this size.',
      good,
      { checkpoint: ['invalid', 'log-key-outside-window'] },
      { trust: { ...trust, vkeys: trust.vkeys.map((one) => ({ ...one, toSize: '6' })) } },
    ),
    bad('token', 'One bit of the token is flipped.', restamp({ token: flip(token.token) }), { ...BAD_TOKEN, ...OTHER }),
    bad(
      'token-trailing-byte',
      'A byte follows the token.',
      restamp({ token: toBase64Url(Uint8Array.of(...(fromBase64Url(token.token) as Uint8Array), 0)) }),
      { ...BAD_TOKEN, ...OTHER },
    ),
    bad(
      'token-of-stranger',
      "An authority outside the trust file's roots stamped.",
      { ...good, timestamps: [{ ...(await stamp(scene.stranger, scene.early.body)), tsa: token.tsa }] },
      { timestamp: ['invalid', 'token-bad'], key: ['unverified', 'no-trusted-time'], ...OTHER },
    ),
    bad(
      'token-policy',
      'The token is under another policy.',
      good,
      { timestamp: ['invalid', 'token-bad'], key: ['unverified', 'no-trusted-time'] },
      { trust: { ...trust, tsas: trust.tsas.map((tsa) => ({ ...tsa, policies: ['1.2.3'] })) } },
    ),
    bad(
      'token-revoked',
      'The TSA certificate was revoked for a key compromise.',
      restamp({ crls: [instance.authority.revokedCrl] }),
      { timestamp: ['invalid', 'token-bad'], key: ['unverified', 'no-trusted-time'] },
    ),
    bad('token-crl', 'The revocation list is no CRL.', restamp({ crls: ['AAAA'] }), { ...BAD_TOKEN, ...OTHER }),
    bad(
      'token-second',
      'A second token is of another checkpoint.',
      { ...good, timestamps: [token, ...scene.later.timestamps] },
      { timestamp: ['invalid', 'token-bad'] },
    ),
    bad(
      'token-renewal',
      'The renewal covers another token.',
      restamp({ renewals: [await stamp(instance, 'something else')] }),
      { ...BAD_TOKEN },
    ),
    bad(
      'token-renewal-path',
      'The way up the tree does not lead to what the renewal is over.',
      restamp({ renewals: [{ ...(await renewalOf(scene)), path: [toBase64Url(new Uint8Array(32))] }] }),
      { ...BAD_TOKEN },
    ),
    bad('anchor-running-hash', 'The running hash does not follow.', reanchor({ runningHash: anchor.prevRunningHash }), {
      anchor: ['invalid', 'anchor-inconsistent'],
      ...OTHER,
    }),
    bad(
      'anchor-payer',
      'Another account paid than the one of the transaction.',
      reanchor({ transactionId: anchor.transactionId.replace('0.0.1001', '0.0.1003') }),
      { anchor: ['invalid', 'anchor-inconsistent'], ...OTHER },
    ),
    bad(
      'anchor-transaction',
      'The transaction id was changed: nothing on the anchor but the certificate shows it.',
      reanchor({ transactionId: anchor.transactionId.replace(/1$/, '2') }),
      OTHER,
    ),
    bad(
      'anchor-topic',
      "The topic is not one of the trust file's.",
      { ...good, anchors: [anchorOf(scene.early.note, 5, { topicId: '0.0.6666' })] },
      { anchor: ['invalid', 'ledger-not-in-trust-file'], ...OTHER },
    ),
    bad('anchor-network', "The network is not one of the trust file's.", reanchor({ network: 'testnet' }), {
      anchor: ['invalid', 'ledger-not-in-trust-file'],
      ...OTHER,
    }),
    bad(
      'anchor-missing',
      'The certificate rests on an anchor that was taken away.',
      { ...good, anchors: [] },
      { anchor: ['absent', 'absent'], ...OTHER },
    ),
    bad(
      'certificate-signature',
      'One bit of the signature is flipped.',
      { ...good, certificate: flipLastPart(good.certificate ?? '') },
      { certificate: ['invalid', 'certificate-bad-signature'], ...LICENCE },
    ),
    bad(
      'certificate-by-seal-key',
      'The certificate is signed by the seal key.',
      { ...good, certificate: certify({ ...instance.seal, kid: 'certificate' }, payloadOf(good, anchor)) },
      { certificate: ['invalid', 'certificate-bad-signature'], ...LICENCE },
    ),
    bad(
      'certificate-unknown-member',
      'The payload has a member that no certificate has.',
      { ...good, certificate: certify(instance.certificate, { ...payloadOf(good, anchor), extra: 1 }) },
      { certificate: ['invalid', 'certificate-malformed'], ...LICENCE },
    ),
    bad(
      'certificate-tenant',
      'Signed by us, naming another tenant.',
      lying((p) => ({ ...p, tenant: p.tenant.replace(/1$/, '2') as typeof p.tenant })),
      OTHER,
    ),
    bad(
      'certificate-digest',
      'Signed by us, naming another digest.',
      lying((p) => ({ ...p, digest: scene.neighbour.statement.digest })),
      OTHER,
    ),
    bad(
      'certificate-leaf',
      'Signed by us, naming another leaf.',
      lying((p) => ({ ...p, leaf: '00'.repeat(32) })),
      OTHER,
    ),
    bad(
      'certificate-root',
      'Signed by us, naming another root.',
      lying((p) => ({ ...p, log: { ...p.log, root: flip(p.log.root) } })),
      OTHER,
    ),
    bad(
      'certificate-time',
      'Signed by us, naming a time that is not the token’s.',
      lying((p) => ({ ...p, timestamp: { ...p.timestamp, time: '2026-11-23T07:00:01.500000Z' } })),
      OTHER,
    ),
    bad(
      'certificate-anchor',
      'Signed by us, naming another anchor.',
      { ...good, certificate: certify(instance.certificate, payloadOf(good, scene.lateAnchor)) },
      OTHER,
    ),
    bad(
      'certificate-key-window',
      'Issued when the certificate key had ended.',
      good,
      { certificate: ['invalid', 'key-outside-window'], ...LICENCE },
      { trust: withCertificateKey(scene, { state: 'verify-only', validTo: '2026-11-23T07:00:00Z' }) },
    ),
    bad(
      'certificate-key-compromised',
      'Issued after the certificate key was compromised.',
      good,
      { certificate: ['invalid', 'key-compromised'], ...LICENCE },
      { trust: withCertificateKey(scene, { state: 'compromised', compromisedAt: '2026-11-23T07:00:00Z' }) },
    ),
    {
      ...bad(
        '',
        '',
        good,
        { certificate: ['unverified', 'key-compromised'], ...LICENCE },
        { trust: withCertificateKey(scene, { state: 'compromised', compromisedAt: '2026-11-23T09:00:00Z' }) },
      ),
      name: 'unverified-certificate-key-compromised-later',
      says: 'No token shows that the certificate is older than the compromise.',
      overall: 'unverified',
    },
    ...(await recombined(scene, bad)),
  ];
}

type Bad = (name: string, says: string, bundle: unknown, claims: Vector['claims'], more?: Partial<Vector>) => Vector;

async function recombined(scene: Scene, bad: Bad): Promise<Vector[]> {
  const { instance, good, neighbour, later, foreign, stranger } = scene;
  const with_ = (part: Partial<Bundle>): Bundle => ({ ...good, ...part });
  const certificateOf = (bundle: Bundle): Partial<Bundle> =>
    bundle.certificate === undefined ? {} : { certificate: bundle.certificate };
  const placeOf = (bundle: Bundle): Partial<Bundle> =>
    bundle.inclusion === undefined || bundle.checkpoint === undefined
      ? {}
      : { inclusion: bundle.inclusion, checkpoint: bundle.checkpoint };
  const twin = sealProof(instance, 3, neighbour.statement.digest);
  const theirKeys: TrustDocument = { ...stranger.trust, origin: instance.origin };
  return [
    bad(
      'recombined-certificate',
      'The certificate of another proof under the same checkpoint.',
      with_(certificateOf(neighbour)),
      OTHER,
    ),
    bad(
      'recombined-certificate-of-later-batch',
      'The certificate of a proof under another checkpoint.',
      with_(certificateOf(later)),
      OTHER,
    ),
    bad('recombined-token', 'The token of another checkpoint.', with_({ timestamps: later.timestamps }), {
      ...BAD_TOKEN,
      ...OTHER,
    }),
    bad('recombined-anchor', 'The anchor of another checkpoint.', with_({ anchors: later.anchors }), {
      anchor: ['invalid', 'anchor-of-other-checkpoint'],
      ...OTHER,
    }),
    bad('recombined-seal', 'The seal of another statement.', with_({ seal: neighbour.seal }), {
      seal: ['invalid', 'seal-bad'],
      inclusion: ['invalid', 'not-included'],
      anchor: ['invalid', 'anchor-not-covering'],
      ...OTHER,
    }),
    bad(
      'recombined-statement-and-seal',
      'Statement and seal of another proof.',
      with_({ statement: neighbour.statement, seal: neighbour.seal }),
      { inclusion: ['invalid', 'not-included'], anchor: ['invalid', 'anchor-not-covering'], ...OTHER },
    ),
    bad(
      'recombined-inclusion',
      'The path of another leaf.',
      with_(neighbour.inclusion === undefined ? {} : { inclusion: neighbour.inclusion }),
      { inclusion: ['invalid', 'not-included'], anchor: ['invalid', 'anchor-not-covering'], ...OTHER },
    ),
    bad(
      'recombined-checkpoint',
      'Another checkpoint of the same log, with its path.',
      with_({ checkpoint: scene.late.note, inclusion: scene.late.inclusionOf(3) }),
      { ...BAD_TOKEN, anchor: ['invalid', 'anchor-of-other-checkpoint'], ...OTHER },
    ),
    bad(
      'recombined-all-but-certificate',
      'All evidence of another proof, under our certificate.',
      { ...later, ...certificateOf(good) },
      OTHER,
    ),
    bad(
      'recombined-place',
      'Place, token and anchor of another leaf.',
      with_({ ...placeOf(later), timestamps: later.timestamps, anchors: later.anchors }),
      { inclusion: ['invalid', 'not-included'], anchor: ['invalid', 'anchor-not-covering'], ...OTHER },
    ),
    bad(
      'resealed-twin',
      'The same proof id sealed over another digest, never logged.',
      with_({ statement: twin.statement, seal: twin.seal }),
      { inclusion: ['invalid', 'not-included'], anchor: ['invalid', 'anchor-not-covering'], ...OTHER },
    ),
    bad(
      'anchor-own-checkpoint',
      "The anchor's own checkpoint does not hold the leaf.",
      with_({
        anchors: [
          ...good.anchors,
          { ...scene.lateAnchor, checkpoint: scene.late.note, inclusion: { ...scene.late.inclusionOf(4), index: '3' } },
        ],
      }),
      { anchor: ['invalid', 'anchor-not-covering'] },
    ),
    bad(
      'wrong-trust',
      'The trust file of another instance.',
      good,
      {
        key: ['invalid', 'key-differs-from-trust-file'],
        seal: ['invalid', 'seal-bad'],
        checkpoint: ['invalid', 'other-log'],
        ...BAD_TOKEN_OF_STRANGER,
        certificate: ['invalid', 'key-differs-from-trust-file'],
        ...LICENCE,
      },
      { trust: stranger.trust },
    ),
    bad(
      'wrong-trust-same-origin',
      'Another instance that gave its log the same name.',
      good,
      {
        key: ['invalid', 'key-differs-from-trust-file'],
        seal: ['invalid', 'seal-bad'],
        ...BAD_TOKEN_OF_STRANGER,
        certificate: ['invalid', 'key-differs-from-trust-file'],
        ...LICENCE,
        checkpoint: ['unverified', 'log-key-not-in-trust-file'],
      },
      { trust: { ...theirKeys, vkeys: theirKeys.vkeys } },
    ),
    bad('foreign-instance', 'A good bundle of another instance.', foreign, {
      key: ['invalid', 'key-differs-from-trust-file'],
      seal: ['invalid', 'seal-bad'],
      checkpoint: ['invalid', 'other-log'],
      ...BAD_TOKEN_OF_STRANGER,
      certificate: ['invalid', 'key-differs-from-trust-file'],
      ...LICENCE,
    }),
    bad(
      'forged-with-own-keys',
      'All made by a stranger under our names.',
      assemble(
        { ...stranger, origin: instance.origin },
        {
          sealed: twin,
          index: 0,
          ...(await forgedPlace(scene, twin.leaf)),
        },
      ),
      {
        key: ['invalid', 'key-differs-from-trust-file'],
        checkpoint: ['unverified', 'log-key-not-in-trust-file'],
        ...BAD_TOKEN_OF_STRANGER,
        certificate: ['invalid', 'key-differs-from-trust-file'],
        ...LICENCE,
      },
    ),
  ];
}

const BAD_TOKEN_OF_STRANGER = { timestamp: ['invalid', 'token-bad'] } as const;

async function forgedPlace({ stranger, instance }: Scene, leaf: Uint8Array) {
  const forger = { ...stranger, origin: instance.origin };
  const log = await checkpointOf(forger, [leaf]);
  return { log, timestamps: [await stamp(forger, log.body)], anchors: [anchorOf(log.note, 7)] };
}

function withCertificateKey({ instance, trust }: Scene, window: Parameters<typeof publish>[2]): TrustDocument {
  const keys = trust.jwks.keys.map((key) =>
    key.purpose === 'certificate' ? publish(instance.certificate, 'certificate', window) : key,
  );
  return { ...trust, jwks: { keys } };
}

/** The same bytes with a bit in the middle flipped. */
function flip(base64url: string): string {
  const bytes = fromBase64Url(base64url) as Uint8Array;
  const at = bytes.length >> 1;
  bytes[at] = (bytes[at] as number) ^ 1;
  return toBase64Url(bytes);
}

function flipLastPart(jws: string): string {
  const parts = jws.split('.');
  return [...parts.slice(0, -1), flip(parts.at(-1) ?? '')].join('.');
}

function flipNote(note: string): string {
  const match = /^(.* )([A-Za-z0-9+/]+=*)\n$/s.exec(note);
  const bytes = Buffer.from(match?.[2] ?? '', 'base64');
  bytes[20] = (bytes[20] ?? 0) ^ 1;
  return `${match?.[1]}${bytes.toString('base64')}\n`;
}

/** A good renewal of the good bundle's token, alone. */
async function renewalOf({ instance, good }: Scene): Promise<StoredToken> {
  const token = fromBase64Url(good.timestamps[0]?.token ?? '') ?? new Uint8Array(0);
  return instance.authority.stamp(new Uint8Array(createHash('sha256').update(token).digest()), '2026-11-24T00:00:00Z');
}
