import 'reflect-metadata';
import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { apiKeyPrefix, formatApiKey, hashApiKey } from '../domain/api-key.ts';
import type { Bundle, ContractAnchorEntry } from '../domain/bundle.ts';
import { parseBundle } from '../domain/bundle-parse.ts';
import { fromBase64Url, utf8 } from '../domain/bytes.ts';
import { canonicalBytes, canonicalText } from '../domain/canonical-json.ts';
import { parseCertificate } from '../domain/certificate-parse.ts';
import { buildHashTree } from '../domain/evidence-record/hash-tree.ts';
import { verifyEvidenceRecord } from '../domain/evidence-record/verify-record.ts';
import { longZeroAddress } from '../domain/ledger/checkpoint-registry.ts';
import { parseInstant } from '../domain/time.ts';
import { parseTrustDocument } from '../domain/trust-parse.ts';
import {
  anchorOf,
  assemble,
  checkpointOf,
  createInstance,
  digestOf,
  GEN_TIME,
  type Instance,
  type LogState,
  type Sealed,
  sealProof,
  stamp,
  TENANT,
} from '../local/evidence/instance.ts';
import { parseCheckpointBody } from '../log/checkpoint.ts';
import { parseNote } from '../log/note.ts';
import { storeArchiveToken } from '../store/archive.ts';
import { inTransaction } from '../store/pool.ts';
import { HOUR_MS } from '../test/pdf/authorities.ts';
import { smallPdf } from '../test/pdf/small-pdf.ts';
import { makeLevels, makePdfWorld, type PdfWorld, trustOf } from '../test/pdf/world.ts';
import { PDF_MAX_LENGTH, verifyBundle, verifyPdf, verifyReceipt } from '../verifier/index.ts';
import { type Call, clientOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

/** Twelve proofs in the log: seven under an early checkpoint with a token, all under a late one with an anchor. */
let server: TestServer;
let instance: Instance;
let world: PdfWorld;
let proofs: readonly Sealed[];
let early: LogState;
let late: LogState;
let certified: Bundle;
let call: Call;
let ownerKey: string;
const anyone = (): Call => clientOf(server.url);

beforeAll(async () => {
  instance = await createInstance('alpha');
  world = await makePdfWorld('ES256', Date.now() - 8 * HOUR_MS);
  instance = { ...instance, trust: trustOf(world, instance.trust) };
  server = await startTestServer({ origin: instance.origin });
  proofs = Array.from({ length: 13 }, (_, n) => sealProof(instance, n, digestOf(`file ${n}`)));
  const leaves = proofs.slice(0, 12).map(({ leaf }) => leaf);
  early = await checkpointOf(instance, leaves.slice(0, 7));
  late = await checkpointOf(instance, leaves);
  ownerKey = await seedOwner();
  call = clientOf(server.url, ownerKey);
  await seedEvidence();
});
afterAll(() => server.stop());

const idOf = (n: number): string => proofs[n]?.statement.proof ?? '';
const bytes = (text: string): Buffer => Buffer.from(fromBase64Url(text) as Uint8Array);

async function seedOwner(): Promise<string> {
  const db = server.database.pool('proofline_worker');
  const key = formatApiKey('test', randomBytes(24));
  await db.query("INSERT INTO tenants (id, name, public_by_digest, created_at) VALUES ($1, 'Owner', true, now())", [
    TENANT,
  ]);
  const unit = randomUUID();
  await db.query(
    "INSERT INTO org_units (id, tenant_id, path, name, created_at) VALUES ($1, $2, ARRAY[$1::uuid], 'Root', now())",
    [unit, TENANT],
  );
  await db.query(
    "INSERT INTO api_keys (id, tenant_id, org_unit_id, label, prefix, hash, scopes, created_at) VALUES ($1, $2, $3, 'test', $4, $5, '{proofs:read,verify}', now())",
    [randomUUID(), TENANT, unit, apiKeyPrefix(key), Buffer.from(hashApiKey(key))],
  );
  return key;
}

async function seedEvidence(): Promise<void> {
  const db = server.database.pool('proofline_worker');
  const submission = randomUUID();
  const batch = randomUUID();
  await db.query(
    "INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, formed_at) VALUES ($1, 'REQUIRED', 'express', 13, now())",
    [batch],
  );
  await db.query(
    `INSERT INTO submissions (id, tenant_id, org_unit_id, api_key_id, anchor_policy, anchor_window, proof_count, received_at, body_hash, batch_id)
     SELECT $1, $2, u.id, $3, 'REQUIRED', 'express', 13, $4, sha256(''), $5 FROM org_units u WHERE u.tenant_id = $2`,
    [submission, TENANT, randomUUID(), proofs[0]?.statement.receivedAt, batch],
  );
  for (const [n, { statement, seal, leaf }] of proofs.entries()) {
    const signature = bytes(seal.split('..')[1] ?? '');
    await db.query(
      `INSERT INTO proofs (id, tenant_id, org_unit_id, submission_id, ordinal, digest_alg, digest, anchor_policy, received_at, state, reference, metadata)
       SELECT $1, $2, u.id, $3, $4, 'sha-256', $5, 'REQUIRED', $6, $7, 'a secret reference', '{"secret": 1}' FROM org_units u WHERE u.tenant_id = $2`,
      [
        statement.proof,
        TENANT,
        submission,
        n,
        Buffer.from(statement.digest.value, 'hex'),
        statement.receivedAt,
        n === 3 ? 'CERTIFIED' : 'SEALED',
      ],
    );
    await db.query(
      'INSERT INTO seals (proof_id, tenant_id, batch_id, ordinal, kid, version, statement, signature, sealed_at) VALUES ($1, $2, $3, $4, $5, 1, $6, $7, now())',
      [statement.proof, TENANT, batch, n, statement.key.kid, canonicalText(statement), signature],
    );
    if (n < 12)
      await db.query('INSERT INTO leaves (index, leaf, proof_id, batch_id, tenant_id) VALUES ($1, $2, $3, $4, $5)', [
        n,
        Buffer.from(leaf),
        statement.proof,
        batch,
        TENANT,
      ]);
  }
  for (const { note } of [early, late]) {
    const { size, root } = parseCheckpointBody(parseNote(note).text);
    await db.query('INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2, $3, $4, now())', [
      instance.origin,
      size.toString(),
      Buffer.from(root),
      note,
    ]);
  }
  const token = await stamp(instance, early.body);
  await db.query(
    `INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, crls, self_operated, accepted_at)
     VALUES ($1, 7, $2, $3, sha256($3), $4, '1', '1.2.3', $5, false, now())`,
    [instance.origin, token.tsa, bytes(token.token), GEN_TIME, (token.crls ?? []).map(bytes)],
  );
  const entry = anchorOf(late.note, 6);
  await db.query(
    "INSERT INTO anchors (origin, size, \"window\", state, entry, created_at, updated_at) VALUES ($1, 12, 'express', 'VERIFIED', $2, now(), now())",
    [instance.origin, JSON.stringify(entry)],
  );
  const sealed = proofs[3] as Sealed;
  const anchor = { ...entry, checkpoint: late.note, inclusion: late.inclusionOf(3) };
  certified = assemble(instance, { sealed, index: 3, log: early, timestamps: [token], anchors: [anchor] });
  const { kid, version, payload, signature } = parseCertificate(certified.certificate as string);
  await db.query("INSERT INTO certificate_templates (id, tenant_id, template) VALUES (1, $1, replace($2, '%', '%%'))", [
    TENANT,
    canonicalText(payload),
  ]);
  await db.query(
    `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, template_id, timestamp_size, anchor_size, kid, version, signature, drafted_at)
     VALUES ($1, $2, $3, 'PL-1', 'CERTIFIED', 1, 7, 12, $4, $5, $6, now())`,
    [idOf(3), TENANT, batch, kid, version, Buffer.from(signature)],
  );
  for (const key of instance.trust.jwks.keys) {
    await db.query(
      'INSERT INTO published_keys (kid, version, purpose, alg, jwk, valid_from, state, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, now())',
      [key.kid, key.version, key.purpose, key.alg, JSON.stringify(key.jwk), key.validFrom, key.state],
    );
  }
  const { vkeys: _vkeys, jwks: _jwks, ...document } = instance.trust;
  await db.query('INSERT INTO instance (document, updated_at) VALUES ($1, now())', [JSON.stringify(document)]);
}

/** The published keys in the order and spelling of the store. */
const storedKeys = (): unknown[] =>
  instance.trust.jwks.keys
    .map((key) => ({ ...key, validFrom: key.validFrom.replace('Z', '.000000Z') }))
    .sort((a, b) => (a.kid < b.kid ? -1 : 1));

describe('the bundle', () => {
  it('of a certified proof is the whole evidence, with the anchor of a later checkpoint beside the early token', async () => {
    const { status, headers, text } = await call('GET', `/v1/proofs/${idOf(3)}/bundle`);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/vnd.proofline.bundle+json');
    const { keys, ...evidence } = parseBundle(text);
    const { keys: _keys, ...expected } = certified;
    expect(evidence).toEqual(expected);
    expect(keys).toEqual(storedKeys());
  });

  it('verifies with the trust document that the instance publishes', async () => {
    const trust = parseTrustDocument((await anyone()('GET', '/.well-known/proofline.json')).text);
    expect(trust).toEqual({ ...instance.trust, jwks: { keys: storedKeys() } });
    const { text } = await call('GET', `/v1/proofs/${idOf(3)}/bundle`);
    const result = await verifyBundle(text, { trust, digest: digestOf('file 3'), nowMs: Date.parse(GEN_TIME) });
    expect({ overall: result.overall, anchor: result.claims.anchor.reason }).toEqual({
      overall: 'valid',
      anchor: 'ledger-not-consulted',
    });
  });

  it('has the entry of the registry contract beside the message, and the certificate still rests on the message', async () => {
    const early = certified.checkpoint ?? '';
    const { message, network, payer } = anchorOf(early, 5);
    const entry: ContractAnchorEntry = {
      ledger: 'hedera-contract/v1',
      network,
      contractId: '0.0.7001',
      consensusTimestamp: '1795420905.000000042',
      transactionId: `${payer}@1795420900.000000001`,
      payer,
      message,
      publisher: longZeroAddress(2n),
    };
    const owner = server.database.pool('proofline_owner');
    await owner.query(
      `INSERT INTO contract_anchors (origin, size, carries_proofs, state, attempt, entry, created_at, updated_at) VALUES ($1, 7, false, 'VERIFIED', 1, $2, now(), now())`,
      [instance.origin, JSON.stringify(entry)],
    );
    try {
      const { text } = await call('GET', `/v1/proofs/${idOf(3)}/bundle`);
      const { anchors } = parseBundle(text);
      expect(anchors).toEqual([...certified.anchors, entry]);
      const ledgers = [
        ...instance.trust.ledgers,
        { kind: 'hedera-contract/v1' as const, network, contractId: entry.contractId },
      ];
      const trust = { ...instance.trust, ledgers };
      const { claims, overall } = await verifyBundle(text, { trust, nowMs: Date.parse(GEN_TIME) });
      expect([claims.anchor.reason, claims.certificate.verdict, overall]).toEqual([
        'ledger-not-consulted',
        'valid',
        'valid',
      ]);
    } finally {
      await owner.query('DELETE FROM contract_anchors');
    }
  });

  it('names what is still to come', async () => {
    const pending = async (n: number): Promise<unknown> =>
      (await call('GET', `/v1/proofs/${idOf(n)}/bundle`)).body.pending;
    expect(await pending(2)).toEqual(['certificate']);
    expect(await pending(9)).toEqual(['timestamp', 'certificate']);
    expect(await pending(12)).toEqual(['inclusion', 'timestamp', 'anchor', 'certificate']);
    expect(await pending(3)).toEqual([]);
  });

  it('has an ETag that answers 304 until the evidence grows', async () => {
    const path = `/v1/proofs/${idOf(12)}/bundle`;
    const etag = (await call('GET', path)).headers.get('etag') ?? '';
    const held = await call('GET', path, undefined, { 'if-none-match': etag });
    expect({ status: held.status, text: held.text, etag: held.headers.get('etag') }).toEqual({
      status: 304,
      text: '',
      etag,
    });
    expect((await call('GET', path, undefined, { 'if-none-match': '"other"' })).status).toBe(200);
  });
});

describe('receipt and certificate', () => {
  it('prove inclusion to a C2SP client and carry the JWS with its payload', async () => {
    const receipt = await call('GET', `/v1/proofs/${idOf(3)}/receipt`);
    expect(receipt.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    const { statement, seal } = certified;
    expect((await verifyReceipt(receipt.text, { statement, seal }, instance.trust)).overall).toBe('valid');
    expect((await call('GET', `/v1/proofs/${idOf(12)}/receipt`)).body.code).toBe('NOT_READY');
    const json = await call('GET', `/v1/proofs/${idOf(3)}/certificate`);
    expect(json.body.jws).toBe(certified.certificate);
    expect(json.body.payload).toMatchObject({ proof: idOf(3), log: { size: '7' } });
    const jose = await call('GET', `/v1/proofs/${idOf(3)}/certificate`, undefined, { accept: 'application/jose' });
    expect([jose.headers.get('content-type'), jose.text]).toEqual(['application/jose', certified.certificate]);
  });
});

describe('the evidence record', () => {
  const verify = async (n: number, record: Uint8Array, data: Uint8Array): Promise<unknown> => {
    const { timestamps } = parseBundle((await call('GET', `/v1/proofs/${idOf(n)}/bundle`)).text);
    const crls = timestamps.flatMap((one) => one.crls ?? []).map((crl) => new Uint8Array(bytes(crl)));
    const nowMicros = parseInstant(GEN_TIME) ?? 0n;
    return verifyEvidenceRecord(record, { data, roots: instance.trust.roots.tsa, crls, nowMicros });
  };

  it('over the body of the checkpoint is made of the token in the bundle', async () => {
    const path = `/v1/proofs/${idOf(3)}/evidence-record`;
    const answer = await call('GET', path);
    expect(answer.headers.get('content-type')).toBe('application/octet-stream');
    expect(answer.headers.get('content-disposition')).toBe(`attachment; filename="${idOf(3)}.ers"`);
    const record = await binary(path);
    expect(Buffer.from(record).includes(bytes(certified.timestamps[0]?.token ?? ''))).toBe(true);
    expect(await verify(3, record, utf8.encode(early.body))).toMatchObject({
      verdict: 'valid',
      time: GEN_TIME,
      revocation: 'good',
    });
    expect(await verify(3, record, utf8.encode(late.body))).toMatchObject({ verdict: 'invalid' });
    const etag = answer.headers.get('etag') ?? '';
    expect((await call('GET', path, undefined, { 'if-none-match': etag })).status).toBe(304);
    expect((await call('GET', `/v1/proofs/${idOf(9)}/evidence-record`)).body.code).toBe('NOT_READY');
    expect((await anyone()('GET', path)).status).toBe(401);
  });

  it('over the statement is there where the tenant asked for it', async () => {
    const path = `/v1/proofs/${idOf(4)}/evidence-record?over=statement`;
    expect((await call('GET', path)).body.code).toBe('NOT_READY');
    const leaves = proofs.slice(2, 7).map(({ leaf }) => leaf);
    const tree = buildHashTree(leaves, 'SHA-256');
    const { token, tsa } = await instance.authority.stamp(tree.root, GEN_TIME);
    const stored = {
      kind: 'direct',
      hash: 'SHA-256',
      tsa,
      token: new Uint8Array(bytes(token)),
      genTime: GEN_TIME,
      serial: '2',
      policy: '1.2.3',
      crls: [],
      selfOperated: false,
      acceptedAt: GEN_TIME,
      endsAt: '2027-01-01T00:00:00Z',
    } as const;
    const members = leaves.map((leaf) => ({ member: leaf, path: tree.pathOf(leaf) ?? [] }));
    await inTransaction(server.database.pool('proofline_worker'), (tx) => storeArchiveToken(tx, stored, members, []));
    const { statement, seal } = proofs[4] as Sealed;
    const data = canonicalBytes({ seal, statement });
    expect(await verify(4, await binary(path), data)).toMatchObject({ verdict: 'valid', timestamps: 1 });
    expect((await call('GET', `/v1/proofs/${idOf(4)}/evidence-record?over=moon`)).status).toBe(400);
  });

  async function binary(path: string): Promise<Uint8Array> {
    const answer = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${ownerKey}` } });
    return new Uint8Array(await answer.arrayBuffer());
  }
});

describe('verification by anybody', () => {
  it('gives verdicts on a stored proof without tenant, reference or metadata', async () => {
    const { status, body, text } = await anyone()('GET', `/v1/verify/${idOf(3)}`);
    expect({ status, state: body.state, overall: body.verification.overall }).toEqual({
      status: 200,
      state: 'CERTIFIED',
      overall: 'valid',
    });
    for (const secret of [TENANT, 'secret', 'Owner']) expect(text).not.toContain(secret);
  });

  it('gives verdicts on a bundle that is sent, as object or as text, with the digest of the file', async () => {
    for (const bundle of [certified, JSON.stringify(certified)]) {
      const good = await anyone()('POST', '/v1/verify', { bundle, digest: digestOf('file 3') });
      expect([good.body.overall, good.body.claims.digest.verdict]).toEqual(['valid', 'valid']);
      const other = await anyone()('POST', '/v1/verify', { bundle, digest: digestOf('another file') });
      expect([other.body.overall, other.body.claims.digest.reason]).toEqual(['invalid', 'digest-differs']);
    }
  });

  it('gives on a certificate PDF the verdicts that the library gives, with its bundle and the digest of the file', async () => {
    const trust = parseTrustDocument((await anyone()('GET', '/.well-known/proofline.json')).text);
    const payload = bytes(certified.certificate?.split('.')[1] ?? '');
    const { 'B-LT': pdf } = await makeLevels(world, smallPdf(payload));
    const more = { bundle: certified, digest: digestOf('file 3') };
    const send = (body: object) => anyone()('POST', '/v1/verify/pdf', body);
    const { status, body } = await send({ pdf: Buffer.from(pdf).toString('base64'), ...more });
    expect([status, body.overall, body.level]).toEqual([200, 'valid', 'B-LT']);
    expect(body).toEqual(await verifyPdf(pdf, { trust, nowMs: Date.now(), ...more }));
    const tampered = Buffer.from(pdf);
    tampered.write('596', tampered.indexOf('595'));
    expect((await send({ pdf: tampered.toString('base64') })).body).toMatchObject({
      overall: 'invalid',
      claims: { signature: { reason: 'pdf-signature-bad' } },
    });
    const long = await send({ pdf: Buffer.alloc(PDF_MAX_LENGTH + 1).toString('base64') });
    expect([long.status, long.body.claims.document.reason]).toEqual([200, 'pdf-too-large']);
    expect((await send({ pdf: 'no base64!' })).status).toBe(400);
  });

  it('calls random bytes and a tampered bundle invalid, each with its reason', async () => {
    for (let i = 0; i < 20; i++) {
      const { status, body } = await anyone()('POST', '/v1/verify', { bundle: randomBytes(200).toString('latin1') });
      expect([status, body.overall, body.claims.seal.reason]).toEqual([200, 'invalid', 'bundle-malformed']);
    }
    const tampered = { ...certified, seal: `${certified.seal.slice(0, -3)}AAA` };
    expect((await anyone()('POST', '/v1/verify', { bundle: tampered })).body).toMatchObject({ overall: 'invalid' });
    const raw = await anyone()('POST', '/v1/verify', new Uint8Array(randomBytes(500)));
    expect([raw.status, raw.body.code]).toEqual([400, 'BODY_MALFORMED']);
  });

  it('finds by digest what the key may see, or what its tenant opened to the public', async () => {
    const path = `/v1/verify?digest=${digestOf('file 3').value}`;
    const ids = async (ask: Call): Promise<unknown> =>
      (await ask('GET', path)).body.data?.map(({ id }: { id: string }) => id);
    expect(await ids(call)).toEqual([idOf(3)]);
    expect(await ids(anyone())).toEqual([idOf(3)]);
    await server.database.pool('proofline_worker').query('UPDATE tenants SET public_by_digest = false');
    const closed = await anyone()('GET', path, undefined, { 'x-request-id': 'same' });
    const unknown = await anyone()('GET', `/v1/verify?digest=${'0'.repeat(64)}`, undefined, { 'x-request-id': 'same' });
    expect([closed.status, closed.text]).toEqual([404, unknown.text]);
    expect(await ids(call)).toEqual([idOf(3)]);
  });
});

describe('the log over HTTP', () => {
  it('serves the newest checkpoint, and tiles and entries up to it under exactly one spelling', async () => {
    expect((await anyone()('GET', '/log/checkpoint')).text).toBe(late.note);
    const tile = async (path: string): Promise<{ status: number; length: number; type: string | null }> => {
      const response = await fetch(`${server.url}/log/tile/${path}`);
      return {
        status: response.status,
        length: (await response.arrayBuffer()).byteLength,
        type: response.headers.get('content-type'),
      };
    };
    expect(await tile('0/000.p/12')).toEqual({ status: 200, length: 12 * 32, type: 'application/octet-stream' });
    expect(await tile('0/000.p/7')).toMatchObject({ status: 200, length: 7 * 32 });
    expect(await tile('entries/000.p/12')).toMatchObject({ status: 200, length: 12 * 34 });
    for (const path of [
      '0/000',
      '0/000.p/13',
      '0/0',
      '0/x000/000',
      '0/000.p/0',
      '0/000.p/012',
      'x/000',
      '64/000',
      '0/x001/x002/003',
      '0/x001/002.p/3',
      '0/%2e%2e',
    ])
      expect({ path, ...(await tile(path)) }).toMatchObject({ path, status: 404, type: 'application/problem+json' });
  });
});
