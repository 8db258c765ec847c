import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  createNodeReader,
  emptyRoot,
  hashLeaf,
  hashNode,
  makeConsistencyProof,
  makeInclusionPath,
  rootOfLeaves,
  verifyConsistency,
  verifyInclusion,
} from './tree.ts';

interface TreeVectors {
  readonly leaves: readonly string[];
  readonly roots: readonly string[];
  readonly inclusion: readonly { index: number; size: number; path: string[] }[];
  readonly consistency: readonly { first: number; second: number; proof: string[] }[];
}

const ct = JSON.parse(
  readFileSync(new URL('./vectors/certificate-transparency.json', import.meta.url), 'utf8'),
) as TreeVectors;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const ctLeaves = ct.leaves.map((leaf) => hashLeaf(unhex(leaf)));
const numbered = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => hashLeaf(new TextEncoder().encode(`leaf ${i}`)));

/** RFC 6962 §2.1 word for word, as an independent judge of the iterative code. */
function mth(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return emptyRoot();
  if (leaves.length === 1) return leaves[0] as Uint8Array;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return hashNode(mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}

describe('the tree of the Certificate Transparency reference', () => {
  it('has the published root at every size', () => {
    expect(ct.roots.map((_, size) => hex(rootOfLeaves(ctLeaves.slice(0, size))))).toEqual(ct.roots);
  });

  it('gives the published inclusion paths, which verify', () => {
    for (const { index, size, path } of ct.inclusion) {
      const made = makeInclusionPath(BigInt(index), BigInt(size), createNodeReader(ctLeaves));
      expect(made.map(hex)).toEqual(path);
      expect(
        verifyInclusion({
          leafHash: ctLeaves[index] as Uint8Array,
          index: BigInt(index),
          size: BigInt(size),
          path: made,
          root: unhex(ct.roots[size] as string),
        }),
      ).toBe(true);
    }
  });

  it('gives the published consistency proofs, which verify', () => {
    for (const { first, second, proof } of ct.consistency) {
      const made = makeConsistencyProof(BigInt(first), BigInt(second), createNodeReader(ctLeaves));
      expect(made.map(hex)).toEqual(proof);
      const claim = {
        first: BigInt(first),
        second: BigInt(second),
        firstRoot: unhex(ct.roots[first] as string),
        secondRoot: unhex(ct.roots[second] as string),
        proof: made,
      };
      expect(verifyConsistency(claim)).toBe(true);
    }
  });
});

describe('inclusion', () => {
  it('holds for every leaf of every tree up to 130 leaves, and of one of 1,000', () => {
    const leaves = numbered(1000);
    const read = createNodeReader(leaves);
    for (const size of [...Array.from({ length: 130 }, (_, i) => i + 1), 1000]) {
      const root = mth(leaves.slice(0, size));
      for (let index = 0; index < size; index++) {
        const path = makeInclusionPath(BigInt(index), BigInt(size), read);
        const leafHash = leaves[index] as Uint8Array;
        if (!verifyInclusion({ leafHash, index: BigInt(index), size: BigInt(size), path, root }))
          throw new Error(`leaf ${index} of ${size}`);
      }
    }
  });

  it('fails when any bit of leaf, path or root is changed, or a hash is added or dropped', () => {
    const leaves = numbered(300);
    const read = createNodeReader(leaves);
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 300 }),
        fc.nat(),
        fc.nat(),
        fc.nat({ max: 255 }),
        (size, at, which, bit) => {
          const index = at % size;
          const root = rootOfLeaves(leaves.slice(0, size));
          const path = makeInclusionPath(BigInt(index), BigInt(size), read);
          const parts = [leaves[index] as Uint8Array, root, ...path].map((part) => Uint8Array.from(part));
          const hit = parts[which % parts.length] as Uint8Array;
          hit[bit >> 3] = (hit[bit >> 3] as number) ^ (1 << (bit & 7));
          const [leafHash, changedRoot, ...changedPath] = parts as [Uint8Array, Uint8Array, ...Uint8Array[]];
          const claim = { index: BigInt(index), size: BigInt(size) };
          expect(verifyInclusion({ ...claim, leafHash, root: changedRoot, path: changedPath })).toBe(false);
          const good = { ...claim, leafHash: leaves[index] as Uint8Array, root };
          expect(verifyInclusion({ ...good, path })).toBe(true);
          expect(verifyInclusion({ ...good, path: path.slice(1) })).toBe(false);
          expect(verifyInclusion({ ...good, path: path.slice(0, -1) })).toBe(false);
          expect(verifyInclusion({ ...good, path: [...path, root] })).toBe(false);
          expect(verifyInclusion({ ...good, path: [root, ...path] })).toBe(false);
        },
      ),
    );
  });

  it('is refused at another index of the same tree', () => {
    const leaves = numbered(64);
    const root = rootOfLeaves(leaves);
    const path = makeInclusionPath(9n, 64n, createNodeReader(leaves));
    const held = Array.from({ length: 64 }, (_, i) =>
      verifyInclusion({ leafHash: leaves[9] as Uint8Array, index: BigInt(i), size: 64n, path, root }),
    );
    expect(held.flatMap((isHeld, i) => (isHeld ? [i] : []))).toEqual([9]);
  });

  it('is refused, not thrown, for impossible numbers and hashes of a wrong length', () => {
    const root = emptyRoot();
    for (const [index, size] of [
      [-1n, 1n],
      [0n, 0n],
      [1n, 1n],
      [5n, -3n],
      [0n, 1n << 64n],
    ] as const) {
      expect(verifyInclusion({ leafHash: root, index, size, path: [], root })).toBe(false);
    }
    expect(
      verifyInclusion({ leafHash: new Uint8Array(31), index: 0n, size: 1n, path: [], root: new Uint8Array(31) }),
    ).toBe(false);
    expect(verifyInclusion({ leafHash: root, index: 0n, size: 2n, path: [new Uint8Array(33)], root })).toBe(false);
    expect(
      verifyInclusion({ leafHash: root, index: 0n, size: 1n, path: Array.from({ length: 1000 }, () => root), root }),
    ).toBe(false);
  });
});

describe('consistency', () => {
  const leaves = numbered(520);
  const read = createNodeReader(leaves);
  const roots = Array.from({ length: 521 }, (_, size) => rootOfLeaves(leaves.slice(0, size)));
  const root = (size: number): Uint8Array => roots[size] as Uint8Array;

  it('holds between every two trees up to 70 leaves', () => {
    for (let second = 0; second <= 70; second++) {
      for (let first = 0; first <= second; first++) {
        const proof = makeConsistencyProof(BigInt(first), BigInt(second), read);
        if (
          !verifyConsistency({
            first: BigInt(first),
            second: BigInt(second),
            firstRoot: root(first),
            secondRoot: root(second),
            proof,
          })
        )
          throw new Error(`${first} to ${second}`);
      }
    }
  });

  it('fails when any bit is changed, a hash is added or dropped, or a size is another', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 520 }),
        fc.nat(),
        fc.nat(),
        fc.nat({ max: 255 }),
        (second, at, which, bit) => {
          const first = 1 + (at % (second - 1));
          const proof = makeConsistencyProof(BigInt(first), BigInt(second), read);
          const good = {
            first: BigInt(first),
            second: BigInt(second),
            firstRoot: root(first),
            secondRoot: root(second),
          };
          expect(verifyConsistency({ ...good, proof })).toBe(true);
          const parts = [root(first), root(second), ...proof].map((part) => Uint8Array.from(part));
          const hit = parts[which % parts.length] as Uint8Array;
          hit[bit >> 3] = (hit[bit >> 3] as number) ^ (1 << (bit & 7));
          const [firstRoot, secondRoot, ...changed] = parts as [Uint8Array, Uint8Array, ...Uint8Array[]];
          expect(verifyConsistency({ ...good, firstRoot, secondRoot, proof: changed })).toBe(false);
          expect(verifyConsistency({ ...good, proof: proof.slice(1) })).toBe(false);
          expect(verifyConsistency({ ...good, proof: [...proof, root(first)] })).toBe(false);
          expect(verifyConsistency({ ...good, proof: [root(first), ...proof] })).toBe(false);
          expect(verifyConsistency({ ...good, firstRoot: root(second), secondRoot: root(first), proof })).toBe(false);
          expect(verifyConsistency({ ...good, first: good.second, second: good.first, proof })).toBe(false);
        },
      ),
    );
  });

  it('demands the true root of the empty tree', () => {
    expect(verifyConsistency({ first: 0n, second: 5n, firstRoot: root(0), secondRoot: root(5), proof: [] })).toBe(true);
    expect(verifyConsistency({ first: 0n, second: 5n, firstRoot: root(1), secondRoot: root(5), proof: [] })).toBe(
      false,
    );
    expect(verifyConsistency({ first: 0n, second: 0n, firstRoot: root(1), secondRoot: root(1), proof: [] })).toBe(
      false,
    );
  });
});
