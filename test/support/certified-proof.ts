/** A proof with its signed certificate, by plain SQL, and stand-ins of the parties that a PDF asks. */
import type { Signer } from '../../activities/sealing/signer-client.ts';
import type { Stamped, TsaPool } from '../../activities/timestamping/tsa-pool.ts';
import { canonicalText } from '../../domain/canonical-json.ts';
import { ecdsaDerToRaw } from '../../domain/ecdsa-signature.ts';
import type { ProofId } from '../../domain/ids.ts';
import { readTimestampToken, readTstInfo } from '../../domain/timestamp/token.ts';
import type { Db } from '../../store/pool.ts';
import { examplePayload, type PdfFixture } from './pdf-fixture.ts';
import { coverLeaves, seedQueuedProofs } from './queued-proofs.ts';
import type { SeededTenant } from './seed.ts';

/** One certified proof of the tenant. Returns its id and the canonical JSON of its certificate. */
export async function seedCertified(
  db: Db,
  tenant: SeededTenant,
  origin: string,
): Promise<{ readonly proofId: ProofId; readonly payload: string }> {
  const { batchId, proofIds } = await seedQueuedProofs(db, 1, { ...tenant, state: 'CERTIFIED' });
  const [proofId] = proofIds;
  if (proofId === undefined) throw new Error('no proof was seeded');
  const size = await coverLeaves(db, { origin });
  const payload = canonicalText(examplePayload({ proof: proofId, number: `PL-${proofId}`, tenant: tenant.tenantId }));
  await db.query(
    `WITH t AS (
       INSERT INTO certificate_templates (id, tenant_id, template) VALUES (nextval('certificate_template_ids'), $2, replace($5, '%', '%%')) RETURNING id)
     INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, template_id, timestamp_size, kid, version, signature, drafted_at, signed_at)
     SELECT $1, $2, $3, $4, 'CERTIFIED_NO_ANCHOR', t.id, $6, 'certificate', 1, '', now(), now() FROM t`,
    [proofId, tenant.tenantId, batchId, `PL-${proofId}`, payload, size.toString()],
  );
  return { proofId, payload };
}

/** A signer over the fixture's key that speaks as the client does; counts what it signs. */
export function signerOf({ key }: PdfFixture): Signer & { readonly signed: () => number } {
  let count = 0;
  const pem = (der: Uint8Array): string =>
    `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
  const absent = async (): Promise<never> => Promise.reject(new Error('not asked in this test'));
  const signer = {
    signed: () => count,
    info: async () => ({ protocol: 'signer/1', dev: true }),
    key: async (kid: string) => ({
      kid,
      purpose: 'pdf',
      primaryVersion: 1,
      versions: [
        {
          version: 1,
          state: 'active',
          alg: key.alg,
          jwk: { kty: 'EC', crv: 'P-256', x: '', y: '' },
          chain: key.chain.map(pem),
          validFrom: '2026-01-01T00:00:00Z',
        },
      ],
    }),
    async sign(request: { kid: string; values: readonly Uint8Array[]; context: Readonly<Record<string, string>> }) {
      count += request.values.length;
      const docDigest = request.context.docDigest ?? '';
      const signatures = await Promise.all(
        request.values.map(async (value) => ecdsaDerToRaw(await key.sign(value, { docDigest }))),
      );
      return { kid: request.kid, version: 1, alg: key.alg, signatures };
    },
    keys: absent,
    signTransaction: absent,
    lastCheckpoint: absent,
    close: async () => {},
  };
  return signer as unknown as Signer & { readonly signed: () => number };
}

/** A pool of the fixture's one authority; counts the tokens it gave. */
export function poolOf(
  { authority }: PdfFixture,
  endsAt = '2027-11-23T00:00:00.000000Z',
): Pick<TsaPool, 'stamp'> & { readonly stamped: () => number } {
  let count = 0;
  return {
    stamped: () => count,
    async stamp(imprint): Promise<Stamped> {
      count++;
      const { token, genTime } = await authority.stamp(imprint);
      const { serial, policy } = readTstInfo(readTimestampToken(token).eContent ?? new Uint8Array(0));
      return {
        tsa: 'test',
        selfOperated: true,
        token,
        genTime,
        serial,
        policy,
        endsAt,
        revocation: 'unverified',
        crls: [],
      };
    },
  };
}
