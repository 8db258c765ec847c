import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { toBase64Url, toHex } from '../domain/bytes.ts';
import { canonicalText } from '../domain/canonical-json.ts';
import { anchorEntryDigest, NO_ANCHOR_WORDS } from '../domain/certificate.ts';
import type { ProofId } from '../domain/ids.ts';
import { ORIGIN, useLicenceDrain } from '../test/support/licence-drain.ts';
import { coverLeaves, seedQueuedProofs } from '../test/support/queued-proofs.ts';

const world = useLicenceDrain();
const { drain, grant, queue, states } = world;

const ids = () => ({ tenantId: world.tenant.tenantId, orgUnitId: world.tenant.orgUnitId });

describe('the evidence of a draft', () => {
  it('is the first timestamp and the smallest verified anchor that cover the leaf', async () => {
    const proof = await seedQueuedProofs(world.owner, 1, { ...ids(), state: 'ANCHORED', anchorPolicy: 'REQUIRED' });
    await coverLeaves(world.owner, { origin: ORIGIN, at: '2026-01-31T08:10:00.123456Z' });
    await seedQueuedProofs(world.owner, 1, ids());
    await coverLeaves(world.owner, { origin: ORIGIN, at: '2026-01-31T08:20:00.000000Z', anchor: 'SENT' });
    await seedQueuedProofs(world.owner, 1, ids());
    const anchored = await coverLeaves(world.owner, { origin: ORIGIN, anchor: 'VERIFIED' });
    await seedQueuedProofs(world.owner, 1, ids());
    await coverLeaves(world.owner, { origin: ORIGIN, anchor: 'VERIFIED' });
    const { grantId } = await grant(world.tenant);
    await drain();
    const id = proof.proofIds[0] as ProofId;
    const { rows } = await world.owner.query(
      `SELECT c.*, v.payload, p.digest, l.leaf, a.entry FROM certificates c JOIN certificate_payloads v USING (proof_id) JOIN proofs p ON p.id = c.proof_id JOIN leaves l ON l.proof_id = p.id
       JOIN anchors a ON a.size = c.anchor_size WHERE c.proof_id = $1`,
      [id],
    );
    const row = rows[0];
    const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
    const entry = row.entry;
    expect(row).toMatchObject({
      final_state: 'CERTIFIED',
      timestamp_size: 1n,
      anchor_size: anchored,
      drafted_at: world.now,
      signature: null,
    });
    expect(row.payload).toBe(canonicalText(JSON.parse(row.payload)));
    expect(JSON.parse(row.payload)).toEqual({
      type: 'proofline/certificate/v1',
      number: row.number,
      tenant: world.tenant.tenantId,
      proof: id,
      digest: { alg: 'sha-256', value: toHex(row.digest) },
      leaf: toHex(row.leaf),
      log: { origin: ORIGIN, index: '0', size: '1', root: toBase64Url(hash('root of 1')) },
      timestamp: {
        tsa: 'tsa',
        tokenSha256: createHash('sha256').update(hash('token of 1')).digest('hex'),
        time: '2026-01-31T08:10:00.123456Z',
      },
      anchorPolicy: 'REQUIRED',
      anchor: {
        entrySha256: anchorEntryDigest(entry),
        ledger: 'hedera-hcs/v1',
        network: 'simulator',
        topicId: '0.0.1001',
        sequenceNumber: `${anchored}`,
        consensusTimestamp: `${anchored}.000000000`,
      },
      licence: { grant: grantId, period: '0' },
      issuedAt: world.now,
      links: {
        proof: `https://p.example/v1/proofs/${id}`,
        bundle: `https://p.example/v1/proofs/${id}/bundle`,
        verify: `https://p.example/v1/verify/${id}`,
      },
    });
    expect(row.number).toMatch(/^PL-2026-\d{10}$/);
  });

  it('says in words that there is no anchor', async () => {
    await queue(1);
    await grant(world.tenant);
    await drain();
    const { rows } = await world.owner.query(
      'SELECT final_state, anchor_size, payload FROM certificates JOIN certificate_payloads USING (proof_id)',
    );
    expect(rows[0]).toMatchObject({ final_state: 'CERTIFIED_NO_ANCHOR', anchor_size: null });
    expect(JSON.parse(rows[0].payload).anchor).toEqual({ none: NO_ANCHOR_WORDS });
  });

  it('is never drafted without an anchor where the policy is REQUIRED', async () => {
    const { proofIds } = await queue(1, { anchorPolicy: 'REQUIRED' });
    await grant(world.tenant);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 0, more: false });
    expect(await states(proofIds)).toEqual(['TIMESTAMPED']);
    await coverLeaves(world.owner, { origin: ORIGIN, anchor: 'VERIFIED' });
    expect(await drain()).toMatchObject({ drafted: 1 });
  });

  it('is drafted without an anchor under PREFERRED from the deadline on', async () => {
    await queue(1, { anchorPolicy: 'PREFERRED', anchorDeadline: '2026-01-31T09:10:00.000000Z' });
    await grant(world.tenant);
    world.now = '2026-01-31T09:09:59.999999Z';
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 0 });
    world.now = '2026-01-31T09:10:00.000000Z';
    expect(await drain()).toMatchObject({ drafted: 1 });
  });

  it('does not keep complete proofs waiting behind one that is not', async () => {
    await queue(3, { anchorPolicy: 'REQUIRED' });
    await queue(3, { receivedAt: '2026-01-31T08:30:00.000000Z' });
    await grant(world.tenant);
    expect(await drain(world.tenant, { limit: 2 })).toMatchObject({ drafted: 3, more: false });
  });

  it('does not ask to be called again when nobody it looked at can be settled', async () => {
    await queue(12, { anchorPolicy: 'REQUIRED' });
    await grant(world.tenant);
    expect(await drain(world.tenant, { limit: 1 })).toMatchObject({ drafted: 0, waiting: 0, more: false });
  });
});
