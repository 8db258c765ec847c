import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { type EvidenceAuthority, makeAuthority } from '../../local/evidence/authority.ts';
import { judgeRecords, type RecordCase, resolveBouncyCastle } from '../../test/support/bouncy-castle.ts';
import { fromBase64Url, utf8 } from '../bytes.ts';
import { parseInstant } from '../time.ts';
import { createVerificationCache } from '../timestamp/cache.ts';
import { derNull, derOctets, derSequence, derSmall } from '../timestamp/der.ts';
import { HASHES, type HashName } from '../timestamp/hashes.ts';
import { readPem } from '../timestamp/pem.ts';
import { type ArchivedToken, archiveSteps, recordOf, rehashedLeaf } from './archive-steps.ts';
import { buildHashTree, rootOfPath } from './hash-tree.ts';
import { readEvidenceRecord, writeEvidenceRecord } from './record.ts';
import { type RecordVerdict, verifyEvidenceRecord } from './verify-record.ts';

const DATA = utf8.encode('log.example/proofline\n7\nAAAA=\n');
const NOW = '2026-11-24T00:00:00Z';
const cache = createVerificationCache();
let first: EvidenceAuthority;
let second: EvidenceAuthority;
let roots: string[];

beforeAll(async () => {
  first = await makeAuthority('first');
  second = await makeAuthority('second', '2030-01-01T00:00:00Z');
  roots = [first.rootPem, second.rootPem];
});

const others = (count: number, hash: HashName): Uint8Array[] =>
  Array.from({ length: count }, (_, n) => HASHES[hash].hash(utf8.encode(`other ${n}`)));

/** A token over the leaf, alone or in a tree with `neighbours` others. */
async function stampLeaf(
  by: EvidenceAuthority,
  leaf: Uint8Array,
  at: string,
  { neighbours = 0, hash = 'SHA-256' }: { readonly neighbours?: number; readonly hash?: HashName } = {},
): Promise<ArchivedToken> {
  const tree = buildHashTree([leaf, ...others(neighbours, hash)], hash);
  const { token } = await by.stamp(tree.root, at);
  return { token: fromBase64Url(token) ?? new Uint8Array(0), path: tree.pathOf(leaf) ?? [], hash };
}

const sha256 = (data: Uint8Array): Uint8Array => HASHES['SHA-256'].hash(data);

/** A record of a token that was renewed: alone, then twice in trees, the last of SHA-512. */
async function renewedThrice(): Promise<ArchivedToken[]> {
  const tokens = [await stampLeaf(first, sha256(DATA), '2026-11-01T08:00:00Z')];
  const next = () => archiveSteps(DATA, tokens);
  tokens.push(await stampLeaf(first, sha256(tokens[0]?.token ?? DATA), '2026-11-02T08:00:00Z', { neighbours: 12 }));
  tokens.push(await stampLeaf(second, sha256(tokens[1]?.token ?? DATA), '2026-11-03T08:00:00Z', { neighbours: 1 }));
  const leaf = rehashedLeaf(DATA, next(), 'SHA-512');
  tokens.push(await stampLeaf(second, leaf, '2026-11-04T08:00:00Z', { neighbours: 5, hash: 'SHA-512' }));
  return tokens;
}

const write = (tokens: readonly ArchivedToken[], data = DATA): Uint8Array =>
  writeEvidenceRecord(recordOf(archiveSteps(data, tokens)));

function judge(
  record: Uint8Array,
  more: { data?: Uint8Array; now?: string; roots?: string[] } = {},
): Promise<RecordVerdict> {
  return verifyEvidenceRecord(record, {
    data: more.data ?? DATA,
    roots: more.roots ?? roots,
    crls: [first.crl, second.crl].map((crl) => fromBase64Url(crl) ?? new Uint8Array(0)),
    nowMicros: parseInstant(more.now ?? NOW) ?? 0n,
    cache,
  });
}

describe('a hash tree', () => {
  it.each([1, 2, 3, 5, 8, 100])('leads from each of %d leaves to the root', (count) => {
    const leaves = others(count, 'SHA-256');
    const { root, pathOf } = buildHashTree([...leaves].reverse(), 'SHA-256');
    expect(buildHashTree([...leaves, ...leaves], 'SHA-256').root).toEqual(root);
    for (const leaf of leaves) {
      const path = pathOf(leaf) ?? [];
      expect(path.length).toBeLessThanOrEqual(Math.ceil(Math.log2(count)));
      expect(rootOfPath(leaf, path, 'SHA-256')).toEqual(root);
    }
    expect(pathOf(sha256(DATA))).toBeUndefined();
  });

  it('is empty-handed without leaves, and refuses those of another hash', () => {
    expect(() => buildHashTree([], 'SHA-256')).toThrow('a tree has leaves');
    expect(() => buildHashTree([new Uint8Array(64)], 'SHA-256')).toThrow('32 bytes');
  });
});

describe('an evidence record', () => {
  it('made of the very token of a bundle is valid over the data', async () => {
    const tokens = [await stampLeaf(first, sha256(DATA), '2026-11-01T08:00:00Z')];
    const record = write(tokens);
    expect(Buffer.from(record).includes(Buffer.from(tokens[0]?.token ?? ''))).toBe(true);
    expect(await judge(record)).toEqual({
      verdict: 'valid',
      time: '2026-11-01T08:00:00.000000Z',
      protectedUntil: '2027-01-01T00:00:01.000000Z',
      timestamps: 1,
      revocation: 'good',
    });
    expect(writeEvidenceRecord(readEvidenceRecord(record))).toEqual(record);
  });

  it('goes on past the end of the first certificate where it was renewed, by tree and by hash', async () => {
    const tokens = await renewedThrice();
    const at = '2028-06-01T00:00:00Z';
    expect(await judge(write(tokens.slice(0, 1)), { now: at })).toMatchObject({ verdict: 'expired' });
    expect(await judge(write(tokens.slice(0, 3)), { now: at })).toMatchObject({ verdict: 'valid', timestamps: 3 });
    const whole = write(tokens);
    expect(readEvidenceRecord(whole).chains.map((chain) => chain.length)).toEqual([3, 1]);
    expect(await judge(whole, { now: at })).toMatchObject({
      verdict: 'valid',
      time: '2026-11-01T08:00:00.000000Z',
      timestamps: 4,
    });
    expect(await judge(whole, { now: '2031-01-01T00:00:00Z' })).toMatchObject({ verdict: 'expired' });
  });

  it('is invalid where a renewal came after the end of what it renews', async () => {
    const tokens = [await stampLeaf(first, sha256(DATA), '2026-11-01T08:00:00Z')];
    tokens.push(await stampLeaf(second, sha256(tokens[0]?.token ?? DATA), '2027-02-01T08:00:00Z'));
    expect(await judge(write(tokens))).toMatchObject({ reason: expect.stringContaining('outside the life') });
  });

  it('is read strictly', async () => {
    const record = write(await renewedThrice());
    const { chains } = readEvidenceRecord(record);
    const bad: Record<string, Uint8Array> = {
      'a byte after it': Uint8Array.from([...record, 0]),
      'cut short': record.subarray(0, record.length - 3),
      'version 2': Uint8Array.from(record, (byte, i) => (i === 6 ? 2 : byte)),
      'no chain': derSequence(derSmall(1), derSequence(derSequence(derNull())), derSequence()),
      'no record': derOctets(record),
      'a hash function that is not named': (() => {
        const named = writeEvidenceRecord({ chains: chains.slice(0, 1) });
        const whole = writeEvidenceRecord({ chains });
        // The list of names of the first chain alone, before both chains.
        return whole.length > named.length ? spliceNames(chains) : whole;
      })(),
    };
    for (const [what, bytes] of Object.entries(bad))
      expect([what, (await judge(bytes)).verdict]).toEqual([what, 'invalid']);
  });
});

function spliceNames(chains: Parameters<typeof writeEvidenceRecord>[0]['chains']): Uint8Array {
  const one = writeEvidenceRecord({ chains: chains.slice(0, 1) });
  const both = writeEvidenceRecord({ chains });
  const sequence = both.subarray(both.length - lengthOfLast(both));
  // version and the names of one
  const head = one.subarray(4, one.length - lengthOfLast(one));
  return derSequence(head, sequence);
}

/** Length of the last element of a record: its sequence of chains. */
function lengthOfLast(record: Uint8Array): number {
  let at = 4;
  for (let i = 0; i < 2; i++) at += 2 + (record[at + 1] ?? 0);
  return record.length - at;
}

describe('Bouncy Castle', () => {
  it('accepts what we write and refuses what we refuse', async () => {
    const lib = await resolveBouncyCastle();
    if (lib === undefined) return;
    const rootDer = roots.flatMap((pem) => readPem(pem, cache));
    const tokens = await renewedThrice();
    const alone = write(tokens.slice(0, 1));
    const inTree = write([await stampLeaf(first, sha256(DATA), '2026-11-01T08:00:00Z', { neighbours: 9 })]);
    const once = write(tokens.slice(0, 2));
    const forged = [...tokens.slice(0, 1), await stampLeaf(first, sha256(DATA), '2026-11-02T08:00:00Z')];
    const other = utf8.encode('log.example/proofline\n8\nAAAA=\n');
    const cases: Record<string, RecordCase> = {
      alone: { record: alone, data: DATA, roots: rootDer },
      'in-a-tree': { record: inTree, data: DATA, roots: rootDer },
      renewed: { record: once, data: DATA, roots: rootDer },
      'renewed-twice': { record: write(tokens.slice(0, 3)), data: DATA, roots: rootDer },
      'hash-tree-renewed': { record: write(tokens), data: DATA, roots: rootDer },
      'other-data': { record: alone, data: other, roots: rootDer },
      'other-data-in-a-tree': { record: inTree, data: other, roots: rootDer },
      'other-data-hash-tree-renewed': { record: write(tokens), data: other, roots: rootDer },
      'renewal-of-something-else': {
        record: writeEvidenceRecord({ chains: [forged.map((one) => ({ ...one, reducedHashtree: [] }))] }),
        data: DATA,
        roots: rootDer,
      },
      'flipped-byte': { record: flipIn(once, tokens[1]?.path[2] ?? DATA), data: DATA, roots: rootDer },
      'other-root': { record: once, data: DATA, roots: rootDer.slice(1) },
    };
    const theirs = await judgeRecords(lib, cases);
    const ours: Record<string, string> = {};
    for (const [name, { record, data, roots: trusted }] of Object.entries(cases)) {
      const pem = trusted.length === 2 ? roots : roots.slice(1);
      const said = await judge(record, { data, roots: pem });
      ours[name] = said.verdict === 'valid' ? `accepted ${said.timestamps}` : 'refused';
    }
    expect(
      Object.fromEntries(Object.entries(theirs).map(([name, said]) => [name, said.replace(/^refused .*/, 'refused')])),
    ).toEqual(ours);
    expect(
      Object.entries(ours)
        .filter(([, said]) => said !== 'refused')
        .map(([name]) => name),
    ).toEqual(['alone', 'in-a-tree', 'renewed', 'renewed-twice', 'hash-tree-renewed']);
  }, 60_000);
});

/** The record with one bit of the first occurrence of `part` changed. */
function flipIn(record: Uint8Array, part: Uint8Array): Uint8Array {
  const at = Buffer.from(record).indexOf(Buffer.from(part));
  return Uint8Array.from(record, (byte, i) => (i === at ? byte ^ 1 : byte));
}

it('stands on hashes that Node agrees with', () => {
  expect(sha256(DATA)).toEqual(new Uint8Array(createHash('sha256').update(DATA).digest()));
});
