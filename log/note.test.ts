import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fromBase64, toBase64 } from './bytes.ts';
import { formatCheckpointBody, parseCheckpointBody, verifyCheckpoint } from './checkpoint.ts';
import {
  createNoteKey,
  formatNote,
  formatVkey,
  type NoteKey,
  parseNote,
  parseVkey,
  signNote,
  verifyNote,
} from './note.ts';
import { formatTlogProof, parseTlogProof, verifyTlogProof } from './tlog-proof.ts';
import { createNodeReader, hashLeaf, makeInclusionPath, rootOfLeaves } from './tree.ts';

interface NoteVectors {
  readonly peterSeedKey: string;
  readonly peter: { vkey: string; text: string; note: string };
  readonly both: { vkeys: string[]; note: string };
  readonly malformed: readonly string[];
  readonly badSignature: string;
  readonly badVkeys: readonly string[];
  readonly sumdb: { vkey: string; origin: string; checkpoints: string[] };
  readonly specExample: string;
}

const vectors = JSON.parse(readFileSync(new URL('./vectors/notes.json', import.meta.url), 'utf8')) as NoteVectors;
const peter = parseVkey(vectors.peter.vkey);

/** Ed25519 from a 32-byte seed through WebCrypto, whose import wants PKCS #8 (RFC 8410). */
async function signerOf(seed: Uint8Array): Promise<(message: Uint8Array) => Promise<Uint8Array>> {
  const pkcs8 = Uint8Array.from([...Buffer.from('302e020100300506032b657004220420', 'hex'), ...seed]);
  const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', false, ['sign']);
  return async (message) => new Uint8Array(await crypto.subtle.sign('Ed25519', key, Uint8Array.from(message)));
}

async function createSigner(
  name: string,
): Promise<{ key: NoteKey; sign: (message: Uint8Array) => Promise<Uint8Array> }> {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  return {
    key: createNoteKey(name, publicKey),
    sign: async (message) =>
      new Uint8Array(await crypto.subtle.sign('Ed25519', pair.privateKey, Uint8Array.from(message))),
  };
}

describe('signed notes', () => {
  it('are made byte for byte as golang.org/x/mod/sumdb/note makes them', async () => {
    const seed = fromBase64(vectors.peterSeedKey.split('+').slice(4).join('+')).slice(1);
    expect(await signNote(vectors.peter.text, [{ key: peter, sign: await signerOf(seed) }])).toBe(vectors.peter.note);
  });

  it('verify under known keys and ignore unknown ones', async () => {
    const [, enochVkey = ''] = vectors.both.vkeys;
    const enoch = parseVkey(enochVkey);
    expect(await verifyNote(vectors.both.note, [peter])).toMatchObject({
      valid: true,
      signers: [{ name: 'PeterNeumann' }],
    });
    expect(await verifyNote(vectors.both.note, [peter, enoch])).toMatchObject({
      valid: true,
      signers: [{ name: 'PeterNeumann' }, { name: 'EnochRoot' }],
    });
    expect(await verifyNote(vectors.peter.note, [enoch])).toEqual({ valid: false, reason: 'no-known-key' });
    expect(await verifyNote(vectors.peter.note, [])).toEqual({ valid: false, reason: 'no-known-key' });
    expect(await verifyNote(vectors.badSignature, [peter])).toEqual({ valid: false, reason: 'bad-signature' });
  });

  it('are refused when malformed as the Go tests list', async () => {
    for (const note of vectors.malformed) {
      expect(() => parseNote(note)).toThrow('NOTE');
      expect(await verifyNote(note, [peter])).toEqual({ valid: false, reason: 'malformed' });
    }
    const notUtf8 = Uint8Array.from([0xff, ...new TextEncoder().encode(vectors.peter.note)]);
    expect(await verifyNote(notUtf8, [peter])).toEqual({ valid: false, reason: 'malformed' });
    expect(await verifyNote('x'.repeat(70_000), [peter])).toEqual({ valid: false, reason: 'malformed' });
  });

  it('are not valid after any one byte changed', async () => {
    const bytes = new TextEncoder().encode(vectors.peter.note);
    for (let i = 0; i < bytes.length; i++) {
      const changed = Uint8Array.from(bytes);
      changed[i] = (bytes[i] as number) ^ 1;
      expect((await verifyNote(changed, [peter])).valid).toBe(false);
    }
  });

  it('bear several signatures, as in a key rotation', async () => {
    const before = await createSigner('log.example/one');
    const after = await createSigner('log.example/one');
    const note = await signNote('text\n', [before, after]);
    expect(await verifyNote(note, [before.key])).toMatchObject({ valid: true, signers: [before.key] });
    expect(await verifyNote(note, [after.key])).toMatchObject({ valid: true, signers: [after.key] });
    expect(formatNote(parseNote(note))).toBe(note);
  });
});

describe('verifier keys', () => {
  it('read back as written', () => {
    for (const vkey of [...vectors.both.vkeys, vectors.sumdb.vkey]) expect(formatVkey(parseVkey(vkey))).toBe(vkey);
  });

  it('are refused after any cut or changed character, and with another type or length', () => {
    const { vkey } = vectors.peter;
    for (let from = 0; from < vkey.length; from++) {
      for (let to = from + 1; to <= vkey.length; to++)
        if (to - from !== vkey.length) expect(() => parseVkey(vkey.slice(from, to))).toThrow('VKEY');
    }
    for (let i = 0; i < vkey.length; i++)
      expect(() =>
        parseVkey(vkey.slice(0, i) + String.fromCharCode(vkey.charCodeAt(i) + 1) + vkey.slice(i + 1)),
      ).toThrow('VKEY');
    for (const bad of vectors.badVkeys) expect(() => parseVkey(bad)).toThrow('VKEY');
    for (const name of ['', 'a b', 'a+b', 'a\u00a0b', 'a\nb', '\ud800'])
      expect(() => createNoteKey(name, new Uint8Array(32))).toThrow('VKEY');
  });
});

describe('checkpoints', () => {
  it('of sum.golang.org verify under its key', async () => {
    const keys = [parseVkey(vectors.sumdb.vkey)];
    const verdicts = await Promise.all(
      vectors.sumdb.checkpoints.map((note) => verifyCheckpoint(note, keys, vectors.sumdb.origin)),
    );
    expect(verdicts.map((verdict) => verdict.valid && verdict.checkpoint.size)).toEqual([30055305n, 65664258n]);
    expect(await verifyCheckpoint(vectors.sumdb.checkpoints[0] as string, keys, 'another log')).toEqual({
      valid: false,
      reason: 'wrong-origin',
    });
  });

  it('of the specification read back as written', () => {
    const { text } = parseNote(vectors.specExample);
    const checkpoint = parseCheckpointBody(text);
    expect(checkpoint).toMatchObject({ origin: 'example.com/behind-the-sofa', size: 20852163n, extensions: [] });
    expect(formatCheckpointBody(checkpoint)).toBe(text);
    expect(formatCheckpointBody({ ...checkpoint, extensions: ['more'] })).toBe(`${text}more\n`);
  });

  it('have one spelling each', () => {
    const root = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=';
    const wrong = [
      '',
      'a\n1\n',
      `\n1\n${root}\n`,
      `a\n01\n${root}\n`,
      `a\n-1\n${root}\n`,
      `a\n+1\n${root}\n`,
      `a\n1\n${root}`,
      `a\n1\n${root}\n\n`,
      `a\n1\n${root}\nb\n\n`,
      `a\n9223372036854775808\n${root}\n`,
      `a\n1\n${root.slice(0, -2)}J=\n`,
      `a\n1\n${root.slice(0, -1)}\n`,
      `a\n1\n${root}=\n`,
      `a\r\n1\n${root}\n`,
      `a\n1 \n${root}\n`,
      `a\n1e3\n${root}\n`,
    ];
    for (const text of wrong) expect(() => parseCheckpointBody(text)).toThrow('CHECKPOINT');
  });

  it('never make the verifier throw', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.uint8Array(),
          fc.string().map((text) => `${text}\n\n— PeterNeumann ${toBase64(new TextEncoder().encode(text))}\n`),
        ),
        async (input) => {
          expect((await verifyCheckpoint(input, [peter], 'x')).valid).toBe(false);
        },
      ),
    );
  });
});

describe('tlog-proof texts', () => {
  const leaves = Array.from({ length: 300 }, (_, i) => hashLeaf(Uint8Array.of(i >> 8, i & 255)));

  async function createProof(index: bigint, extra?: Uint8Array) {
    const signer = await createSigner('log.example/one');
    const body = formatCheckpointBody({ origin: 'log.example/one', size: 300n, root: rootOfLeaves(leaves) });
    const checkpoint = await signNote(body, [signer]);
    const path = makeInclusionPath(index, 300n, createNodeReader(leaves));
    return {
      key: signer.key,
      text: formatTlogProof({ index, path, checkpoint, ...(extra === undefined ? {} : { extra }) }),
    };
  }

  it('verify for their leaf alone', async () => {
    const { key, text } = await createProof(7n, new TextEncoder().encode('salt'));
    expect(text.startsWith('c2sp.org/tlog-proof@v1\nextra c2FsdA==\nindex 7\n')).toBe(true);
    expect(await verifyTlogProof(text, leaves[7] as Uint8Array, [key], 'log.example/one')).toMatchObject({
      valid: true,
      checkpoint: { size: 300n },
    });
    expect(await verifyTlogProof(text, leaves[8] as Uint8Array, [key], 'log.example/one')).toEqual({
      valid: false,
      reason: 'not-included',
    });
    expect(await verifyTlogProof(text, leaves[7] as Uint8Array, [peter], 'log.example/one')).toEqual({
      valid: false,
      reason: 'no-known-key',
    });
    expect(await verifyTlogProof(text, leaves[7] as Uint8Array, [key], 'log.example/two')).toEqual({
      valid: false,
      reason: 'wrong-origin',
    });
  });

  it('read back as written, without extra data and with the empty one', async () => {
    for (const extra of [undefined, new Uint8Array(0), Uint8Array.of(1, 2)]) {
      const { text } = await createProof(299n, extra);
      expect(formatTlogProof(parseTlogProof(text))).toBe(text);
    }
  });

  it('are refused in any other form', async () => {
    const { key, text } = await createProof(7n);
    const wrong = [
      text.replace('@v1', '@v2'),
      text.replace('index 7', 'index 07'),
      text.replace('index 7', 'Index 7'),
      text.replace('\n\n', '\n'),
      text.replace('index 7\n', 'index 7\nAAAA\n'),
      `${text}x`,
      `\n${text}`,
      text.replace('index', 'extra !\nindex'),
      '',
    ];
    for (const bad of wrong) {
      expect(() => parseTlogProof(bad)).toThrow('TLOG_PROOF');
      expect(await verifyTlogProof(bad, leaves[7] as Uint8Array, [key], 'log.example/one')).toEqual({
        valid: false,
        reason: 'malformed',
      });
    }
  });
});
