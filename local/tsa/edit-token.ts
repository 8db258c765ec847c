/** Takes tokens apart and puts them together changed, signed anew where the change lies under the signature. For tests of verification. */
import { createHash } from 'node:crypto';
import { DerReader, der, openWhole, readOid, TAG } from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import type { TsaAuthority } from './answer-query.ts';

/** A DER element as a tree that may be changed: `parts` of a constructed one, `bytes` of a primitive one. */
export interface Node {
  tag: number;
  parts: Node[];
  bytes: Uint8Array;
}

export function decodeDer(bytes: Uint8Array): Node {
  const reader = new DerReader(bytes, 'tree');
  const tlv = reader.next();
  reader.end();
  const isConstructed = (tlv.tag & 0x20) !== 0;
  const inner = new DerReader(tlv.content, 'tree');
  return {
    tag: tlv.tag,
    parts: isConstructed ? inner.rest(64).map((part) => decodeDer(part.raw)) : [],
    bytes: isConstructed ? new Uint8Array() : tlv.content,
  };
}

export const encodeDer = (node: Node): Uint8Array =>
  (node.tag & 0x20) !== 0 ? der(node.tag, ...node.parts.map(encodeDer)) : der(node.tag, node.bytes);

/** The parts of a token that tests change. */
export interface TokenParts {
  readonly root: Node;
  /** SignedData. */
  readonly data: Node;
  /** encapContentInfo. */
  readonly content: Node;
  /** TSTInfo, opened; written back and its digest renewed. */
  readonly tst: Node;
  readonly signerInfos: Node;
  readonly signer: Node;
  /** signedAttrs [0]; as they stand they are signed. */
  readonly attributes: Node;
}

/** Applies `edit` and renews messageDigest (unless told not to) and the signature. */
export async function editToken(
  token: Uint8Array,
  authority: Pick<TsaAuthority, 'sign'>,
  edit: (parts: TokenParts) => void,
  options: { readonly keepDigest?: boolean; readonly keepSignature?: boolean } = {},
): Promise<Uint8Array> {
  const root = decodeDer(token);
  const data = at(root, 1, 0);
  const content = at(data, 2);
  const octets = at(content, 1, 0);
  const tst = decodeDer(octets.bytes);
  const signerInfos = at(data, data.parts.length - 1);
  const signer = at(signerInfos, 0);
  const attributes = at(signer, 3);
  edit({ root, data, content, tst, signerInfos, signer, attributes });
  octets.bytes = encodeDer(tst);
  const digest = findAttribute(attributes, OID.messageDigest);
  if (digest !== undefined && !options.keepDigest)
    at(digest, 1, 0).bytes = new Uint8Array(createHash('sha256').update(octets.bytes).digest());
  if (!options.keepSignature) at(signer, 5).bytes = await authority.sign(encodeDer({ ...attributes, tag: TAG.set }));
  return encodeDer(root);
}

export function findAttribute(attributes: Node, oid: string): Node | undefined {
  return attributes.parts.find((attribute) => {
    const reader = openWhole(encodeDer(attribute), TAG.sequence, 'attribute');
    return readOid(reader.next(TAG.oid), 'attribute') === oid;
  });
}

/** The element at a path of positions. */
export function at(node: Node, ...path: readonly number[]): Node {
  let here = node;
  for (const position of path) {
    const next = here.parts[position];
    if (next === undefined) throw new Error(`no element ${position} in tag ${here.tag.toString(16)}`);
    here = next;
  }
  return here;
}
