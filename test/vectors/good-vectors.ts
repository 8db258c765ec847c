/** Bundles that are what they say, complete or on their way. */
import { createHash } from 'node:crypto';
import type { Bundle, BundleTimestamp } from '../../domain/bundle.ts';
import { fromBase64Url, toBase64Url } from '../../domain/bytes.ts';
import { buildHashTree } from '../../domain/evidence-record/hash-tree.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { makeAuthority } from '../../local/evidence/authority.ts';
import { assemble, certify, checkpointOf, payloadOf, sealProof, stamp, vkeyOf } from '../../local/evidence/instance.ts';
import { ed25519, p256, publish } from '../../local/evidence/keys.ts';
import { FILE, type Scene } from './scene.ts';
import type { Vector } from './vector.ts';

const PENDING = ['pending', 'pending'] as const;
const ABSENT = ['absent', 'absent'] as const;
const NO_ANCHOR = ['absent', 'none-as-certificate-states'] as const;

export async function goodVectors(scene: Scene): Promise<Vector[]> {
  const { instance, trust, good, sealed, early, late, lateAnchor } = scene;
  const noAnchor = assemble(instance, { sealed, index: 3, log: early, timestamps: good.timestamps, anchors: [] });
  return [
    {
      name: 'good-anchored',
      says: 'Complete evidence, with the file.',
      bundle: good,
      trust,
      file: FILE,
      overall: 'valid',
      claims: { digest: ['valid', 'digest-equal'] },
    },
    {
      name: 'good-without-file',
      says: 'Without a file the digest is absent and lowers nothing.',
      bundle: good,
      trust,
      overall: 'valid',
    },
    {
      name: 'good-no-anchor',
      says: 'The certificate states that it rests on no anchor.',
      bundle: noAnchor,
      trust,
      overall: 'valid',
      claims: { anchor: NO_ANCHOR },
    },
    {
      name: 'good-anchor-later-than-certificate',
      says: 'The anchor came after the certificate, on a later checkpoint, and stands alone.',
      bundle: { ...noAnchor, anchors: [{ ...lateAnchor, checkpoint: late.note, inclusion: late.inclusionOf(3) }] },
      trust,
      overall: 'valid',
    },
    {
      name: 'good-tree-of-one',
      says: 'One leaf, an empty path.',
      ...(await treeOfOne(scene)),
      overall: 'valid',
      claims: { anchor: NO_ANCHOR },
    },
    {
      name: 'good-sha-512',
      says: 'A digest of SHA-512.',
      ...(await sha512(scene)),
      overall: 'valid',
      claims: { digest: ['valid', 'digest-equal'], anchor: NO_ANCHOR },
    },
    {
      name: 'good-two-authorities',
      says: 'Two tokens; the certificate names the first.',
      ...(await twoAuthorities(scene)),
      overall: 'valid',
    },
    {
      name: 'good-self-operated-authority',
      says: "The operator's own authority is labelled.",
      bundle: good,
      trust: { ...trust, tsas: trust.tsas.map((tsa) => ({ ...tsa, selfOperated: true })) },
      overall: 'valid',
      claims: { timestamp: ['valid', 'token-good-self-operated'] },
    },
    {
      name: 'good-log-key-rotation',
      says: 'The checkpoint at a rotation bears both signatures.',
      ...(await rotation(scene)),
      overall: 'valid',
    },
    {
      name: 'good-retired-seal-key',
      says: 'The seal key ended after the timestamp.',
      bundle: good,
      trust: withSealKey(scene, { state: 'verify-only', validTo: '2026-11-23T09:00:00Z' }),
      overall: 'valid',
    },
    {
      name: 'good-seal-key-compromised-later',
      says: 'A token before the compromise covers the seal.',
      bundle: good,
      trust: withSealKey(scene, { state: 'compromised', compromisedAt: '2026-11-23T09:00:00Z' }),
      overall: 'valid',
      claims: { key: ['valid', 'key-compromised-later'] },
    },
    {
      name: 'good-authority-expired-renewed',
      says: 'The TSA certificate has ended; a renewal protects the token.',
      ...(await renewed(scene)),
      now: '2027-06-01T00:00:00Z',
      overall: 'valid',
      claims: { timestamp: ['expired-but-protected', 'token-expired-renewed'] },
    },
    {
      name: 'good-authority-expired-renewed-in-bulk',
      says: 'The TSA certificate has ended; a token over a tree of many tokens, and one over that token, protect it.',
      ...(await renewedInBulk(scene)),
      now: '2029-06-01T00:00:00Z',
      overall: 'valid',
      claims: { timestamp: ['expired-but-protected', 'token-expired-renewed'] },
    },
    {
      name: 'unverified-authority-expired',
      says: 'The TSA certificate has ended and nothing protects the token.',
      bundle: good,
      trust,
      now: '2027-06-01T00:00:00Z',
      overall: 'unverified',
      claims: { timestamp: ['unverified', 'token-expired'], key: ['unverified', 'no-trusted-time'] },
    },
    {
      name: 'unverified-without-revocation',
      says: 'No revocation list beside the token.',
      bundle: { ...good, timestamps: good.timestamps.map(({ tsa, token }) => ({ tsa, token })) },
      trust,
      overall: 'unverified',
      claims: { timestamp: ['unverified', 'revocation-unverified'], key: ['unverified', 'no-trusted-time'] },
    },
    {
      name: 'unverified-authority-not-listed',
      says: 'The trust file knows the root and not the authority.',
      bundle: good,
      trust: { ...trust, tsas: [] },
      overall: 'unverified',
      claims: { timestamp: ['unverified', 'tsa-not-in-trust-file'], key: ['unverified', 'no-trusted-time'] },
    },
    {
      name: 'unverified-keys-newer-than-trust-file',
      says: 'The trust file was pinned before the keys.',
      ...newerKeys(scene),
      overall: 'unverified',
      claims: {
        key: ['unverified', 'key-not-in-trust-file'],
        certificate: ['unverified', 'key-not-in-trust-file'],
        checkpoint: ['unverified', 'log-key-not-in-trust-file'],
        licence: ['unverified', 'certificate-not-valid'],
      },
    },
    {
      name: 'unverified-seal-key-suspended',
      says: 'The seal key is suspended.',
      bundle: good,
      trust: withSealKey(scene, { state: 'suspended' }),
      overall: 'unverified',
      claims: { key: ['unverified', 'key-suspended'] },
    },
    {
      name: 'unverified-without-trust-file',
      says: 'Only the own keys of the bundle speak for it.',
      bundle: good,
      overall: 'unverified',
      claims: {
        key: ['unverified', 'own-keys'],
        checkpoint: ['unverified', 'own-keys'],
        timestamp: ['unverified', 'tsa-root-not-pinned'],
        certificate: ['unverified', 'own-keys'],
        licence: ['unverified', 'certificate-not-valid'],
      },
    },
    {
      name: 'pending-inclusion',
      says: 'Sealed, and not yet in the log.',
      bundle: stage(good, ['inclusion', 'timestamp', 'anchor', 'certificate']),
      trust,
      overall: 'pending',
      claims: {
        key: PENDING,
        inclusion: PENDING,
        checkpoint: PENDING,
        timestamp: PENDING,
        anchor: PENDING,
        certificate: PENDING,
        licence: PENDING,
      },
    },
    {
      name: 'pending-timestamp',
      says: 'In the log, and not yet stamped.',
      bundle: stage(good, ['timestamp', 'anchor', 'certificate']),
      trust,
      overall: 'pending',
      claims: { key: PENDING, timestamp: PENDING, anchor: PENDING, certificate: PENDING, licence: PENDING },
    },
    {
      name: 'pending-anchor',
      says: 'Stamped, and not yet on the ledger.',
      bundle: stage(good, ['anchor', 'certificate']),
      trust,
      overall: 'pending',
      claims: { anchor: PENDING, certificate: PENDING, licence: PENDING },
    },
    {
      name: 'pending-certificate',
      says: 'Anchored, and waiting for a licence.',
      bundle: stage(good, ['certificate']),
      trust,
      overall: 'pending',
      claims: { certificate: PENDING, licence: PENDING },
    },
    {
      name: 'pending-certificate-no-anchor',
      says: 'Policy NONE, waiting for a licence.',
      bundle: { ...stage(good, ['certificate']), anchors: [] },
      trust,
      overall: 'pending',
      claims: { anchor: ABSENT, certificate: PENDING, licence: PENDING },
    },
    {
      name: 'absent-cancelled-after-seal',
      says: 'Cancelled: the leaf stays, nothing follows.',
      bundle: { ...stage(good, ['timestamp', 'anchor', 'certificate']), pending: [] },
      trust,
      overall: 'absent',
      claims: {
        key: ['unverified', 'no-trusted-time'],
        timestamp: ABSENT,
        anchor: ABSENT,
        certificate: ABSENT,
        licence: ABSENT,
      },
    },
  ];
}

/** The bundle before these stages. */
function stage(bundle: Bundle, pending: Bundle['pending']): Bundle {
  const { inclusion, checkpoint, certificate: _, ...rest } = bundle;
  const isLogged = !pending.includes('inclusion');
  return {
    ...rest,
    ...(isLogged && inclusion !== undefined && checkpoint !== undefined ? { inclusion, checkpoint } : {}),
    timestamps: pending.includes('timestamp') ? [] : bundle.timestamps,
    anchors: pending.includes('anchor') ? [] : bundle.anchors,
    pending,
  };
}

export function withSealKey({ instance, trust }: Scene, window: Parameters<typeof publish>[2]): TrustDocument {
  const keys = trust.jwks.keys.map((key) => (key.purpose === 'seal' ? publish(instance.seal, 'seal', window) : key));
  return { ...trust, jwks: { keys } };
}

type Case = Pick<Vector, 'bundle' | 'trust' | 'file'>;

async function treeOfOne({ instance, sealed, trust }: Scene): Promise<Case> {
  const log = await checkpointOf(instance, [sealed.leaf]);
  return {
    bundle: assemble(instance, { sealed, index: 0, log, timestamps: [await stamp(instance, log.body)], anchors: [] }),
    trust,
  };
}

async function sha512({ instance, trust }: Scene): Promise<Case> {
  const value = createHash('sha512').update(FILE).digest('hex');
  const sealed = sealProof(instance, 20, { alg: 'sha-512', value });
  const log = await checkpointOf(instance, [sealed.leaf]);
  return {
    bundle: assemble(instance, { sealed, index: 0, log, timestamps: [await stamp(instance, log.body)], anchors: [] }),
    trust,
    file: FILE,
  };
}

async function twoAuthorities({ trust, good, early, instance }: Scene): Promise<Case> {
  const second = await makeAuthority('second timestamps');
  const timestamps = [...good.timestamps, await stamp(instance, early.body, '2026-11-23T08:00:03.000000Z', second)];
  return {
    bundle: { ...good, timestamps },
    trust: {
      ...trust,
      roots: { ...trust.roots, tsa: [...trust.roots.tsa, second.rootPem] },
      tsas: [...trust.tsas, ...trust.tsas.map((tsa) => ({ ...tsa, name: second.name }))],
    },
  };
}

async function rotation({ instance, sealed, leaves, trust, good }: Scene): Promise<Case> {
  const next = ed25519('log', 2, 'alpha log 2');
  const log = await checkpointOf(instance, leaves.slice(0, 7), [instance.log, next]);
  return {
    bundle: assemble(instance, { sealed, index: 3, log, timestamps: good.timestamps, anchors: good.anchors }),
    trust: {
      ...trust,
      vkeys: [
        { vkey: vkeyOf(instance.origin, instance.log), fromSize: '0', toSize: '7' },
        { vkey: vkeyOf(instance.origin, next), fromSize: '7' },
      ],
    },
  };
}

async function renewed({ good, trust }: Scene): Promise<Case> {
  const successor = await makeAuthority('successor timestamps', '2029-01-01T00:00:00Z');
  const [first] = good.timestamps;
  if (first === undefined) throw new Error('no token to renew');
  const imprint = createHash('sha256')
    .update(fromBase64Url(first.token) as Uint8Array)
    .digest();
  const renewal = await successor.stamp(new Uint8Array(imprint), '2026-12-15T00:00:00.000000Z');
  return {
    bundle: { ...good, timestamps: [{ ...first, renewals: [renewal] }] },
    trust: {
      ...trust,
      roots: { ...trust.roots, tsa: [...trust.roots.tsa, successor.rootPem] },
      tsas: [...trust.tsas, ...trust.tsas.map((tsa) => ({ ...tsa, name: successor.name }))],
    },
  };
}

/** Renewed in a tree with others, then, when that token's certificate was to end, alone. */
async function renewedInBulk(scene: Scene): Promise<Case> {
  const { trust, good } = scene;
  const [first] = good.timestamps as [BundleTimestamp];
  const second = await makeAuthority('second successor timestamps', '2029-01-01T00:00:00Z');
  const third = await makeAuthority('third successor timestamps', '2030-01-01T00:00:00Z');
  const leaf = sha256Of(first.token);
  const others = Array.from({ length: 12 }, (_, n) => sha256Of(`other ${n}`));
  const tree = buildHashTree([leaf, ...others], 'SHA-256');
  const inTree = await second.stamp(tree.root, '2026-12-15T00:00:00.000000Z');
  const alone = await third.stamp(sha256Of(inTree.token), '2028-12-15T00:00:00.000000Z');
  const path = (tree.pathOf(leaf) ?? []).map(toBase64Url);
  const named = [second, third].map(({ name }) => trust.tsas.map((tsa) => ({ ...tsa, name })));
  return {
    bundle: { ...good, timestamps: [{ ...first, renewals: [{ ...inTree, path }, alone] }] },
    trust: {
      ...trust,
      roots: { ...trust.roots, tsa: [...trust.roots.tsa, second.rootPem, third.rootPem] },
      tsas: [...trust.tsas, ...named.flat()],
    },
  };
}

const sha256Of = (token: string): Uint8Array =>
  new Uint8Array(
    createHash('sha256')
      .update(fromBase64Url(token) ?? token)
      .digest(),
  );

function newerKeys({ instance, trust, good }: Scene): Case {
  const old = p256('seal', 7, 'alpha seal 7');
  const log = ed25519('log', 7, 'alpha log 7');
  return {
    bundle: { ...good, certificate: certify(instance.certificate, payloadOf(good, good.anchors[0])) },
    trust: {
      ...trust,
      jwks: { keys: [publish(old, 'seal')] },
      vkeys: [{ vkey: vkeyOf(instance.origin, log), fromSize: '0' }],
    },
  };
}
