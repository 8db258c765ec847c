import 'reflect-metadata';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import { der, derNull, derOctets, derOid, derSequence, TAG } from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import { writePem } from '../../domain/timestamp/pem.ts';
import { buildTimestampRequest, buildTimestampResponse } from '../../domain/timestamp/request.ts';
import { readTimestampResponse } from '../../domain/timestamp/token.ts';
import { type TimestampPoint, verifyTimestampResponse } from '../../domain/timestamp/verify-token.ts';
import { answerQuery, type TsaAuthority } from '../../local/tsa/answer-query.ts';
import { makeLeaf } from '../../local/tsa/authority-certificates.ts';
import { at, decodeDer, editToken, findAttribute, type TokenParts } from '../../local/tsa/edit-token.ts';
import type { TsaFaultKind } from '../../local/tsa/faults.ts';
import { makeTestAuthority, type TestAuthority } from '../../local/tsa/test-authority.ts';
import { askJava, askOpenSslTs, type JudgedResponse, type Opinions } from './ask.ts';
import { provideJudges } from './provide.ts';

const provided = await provideJudges((line) => process.stderr.write(`${line}\n`));
for (const why of provided.missing) process.stderr.write(`\nSKIPPED: judges of timestamps. ${why}\n\n`);
const withBoth = provided.java === undefined || !provided.programs.has('openssl') ? it.skip : it;

const DAY_MS = 86_400_000;
const POLICY = '1.3.6.1.4.1.99999.1.1';
const imprint = new Uint8Array(createHash('sha256').update('a checkpoint').digest());
const nonce = new Uint8Array(randomBytes(8)).fill(1, 0, 1);
const query = buildTimestampRequest({ imprint, nonce, policy: POLICY });
const dir = mkdtempSync(join(tmpdir(), 'proofline-tokens-'));

interface Case {
  readonly name: string;
  /** The point that it breaks; undefined: none. */
  readonly point: TimestampPoint | undefined;
  readonly response: Uint8Array;
}

let tsa: TestAuthority;
let cases: Case[] = [];
let openssl: Opinions = new Map();
let bouncycastle: Opinions = new Map();

async function makeCases(): Promise<Case[]> {
  const reply = (kind?: TsaFaultKind, authority: TsaAuthority = tsa.authority) =>
    answerQuery(authority, query, kind === undefined ? undefined : { kind }, authority.random(16).fill(1, 0, 1));
  const token = readTimestampResponse(await reply()).token ?? new Uint8Array();
  const edited = async (edit: (parts: TokenParts) => void, options?: Parameters<typeof editToken>[3]) =>
    buildTimestampResponse(0, await editToken(token, tsa.authority, edit, options));
  const withLeaf = async (spec: Parameters<typeof makeLeaf>[2]): Promise<TsaAuthority> => ({
    ...tsa.authority,
    certificate: await makeLeaf(tsa.issuer, tsa.keys.publicKey, spec),
  });
  const { digitalSignature, keyCertSign, keyEncipherment } = x509.KeyUsageFlags;
  const extension = derSequence(
    derOid('1.3.6.1.4.1.99999.5'),
    der(TAG.boolean, Uint8Array.of(0xff)),
    derOctets(derNull()),
  );
  const fault = async (point: TimestampPoint, kind: TsaFaultKind): Promise<Case> => ({
    name: kind,
    point,
    response: await reply(kind),
  });
  return [
    { name: 'good', point: undefined, response: await reply() },
    await fault(1, 'status-2'),
    { name: 'rejection with a token', point: 1, response: buildTimestampResponse(2, token) },
    { name: 'grant without a token', point: 1, response: buildTimestampResponse(0) },
    {
      name: 'another content type',
      point: 2,
      response: await edited(({ content }) => {
        content.parts[0] = decodeDer(derOid(OID.data));
      }),
    },
    {
      name: 'two signers',
      point: 2,
      response: await edited(({ signerInfos, signer }) => void signerInfos.parts.push(signer)),
    },
    {
      name: 'an unknown critical extension',
      point: 2,
      response: await edited(({ tst }) => void tst.parts.push(decodeDer(der(0xa1, extension)))),
    },
    await fault(3, 'wrong-imprint'),
    await fault(4, 'wrong-nonce'),
    await fault(4, 'no-nonce'),
    await fault(5, 'wrong-policy'),
    await fault(6, 'wrong-signature'),
    {
      name: 'digest of other content',
      point: 6,
      response: await edited(({ tst }) => void at(tst, 5).parts.splice(0), { keepDigest: true }).catch(
        () => new Uint8Array(),
      ),
    },
    {
      name: 'unsorted attributes',
      point: 6,
      response: await edited(({ attributes }) => void attributes.parts.reverse()),
    },
    {
      name: 'no content type attribute',
      point: 6,
      response: await edited(({ attributes }) => {
        attributes.parts = attributes.parts.filter((one) => one !== findAttribute(attributes, OID.contentType));
      }),
    },
    await fault(7, 'wrong-ess'),
    await fault(7, 'no-certificates'),
    {
      name: 'no signing certificate attribute',
      point: 7,
      response: await edited(({ attributes }) => {
        attributes.parts = attributes.parts.filter(
          (one) => one !== findAttribute(attributes, OID.signingCertificateV2),
        );
      }),
    },
    await fault(8, 'eku-missing'),
    await fault(8, 'eku-extra'),
    await fault(8, 'eku-not-critical'),
    {
      name: 'a key that signs certificates',
      point: 9,
      response: await reply(undefined, await withLeaf({ keyUsage: digitalSignature | keyCertSign })),
    },
    {
      name: 'a key that encrypts',
      point: 9,
      response: await reply(undefined, await withLeaf({ keyUsage: keyEncipherment })),
    },
    await fault(10, 'untrusted-chain'),
    {
      name: 'a certificate that has ended',
      point: 10,
      response: await reply(
        undefined,
        await withLeaf({ notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) }),
      ),
    },
    await fault(12, 'truncated'),
    await fault(12, 'trailing-bytes'),
    {
      name: 'a time of no real day',
      point: 12,
      response: await edited(({ tst }) => {
        at(tst, 4).bytes = Buffer.from('20260230080000Z');
      }),
    },
  ];
}

beforeAll(async () => {
  tsa = await makeTestAuthority();
  cases = await makeCases();
  const save = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(dir, name), content);
    return join(dir, name);
  };
  const root = save('root.pem', writePem('CERTIFICATE', tsa.root.der));
  const saved = save('query.tsq', query);
  const files: JudgedResponse[] = cases.map(({ name, response }, i) => ({
    name,
    root,
    query: saved,
    response: save(`${i}.tsr`, response),
  }));
  if (provided.programs.has('openssl')) openssl = await askOpenSslTs(files);
  if (provided.java !== undefined) bouncycastle = (await askJava(provided.java, dir, files)).bouncycastle;
}, 120_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Neither looks at the extensions of a TSTInfo. */
const OURS_ALONE = ['an unknown critical extension'];

describe('replies that break one of the points', () => {
  it('are refused by us at that point', async () => {
    for (const { name, point, response } of cases) {
      const verdict = await verifyTimestampResponse(response, {
        imprint,
        nonce,
        policies: [POLICY],
        roots: [tsa.root.der],
        nowMs: Date.now(),
        isSerialUnused: async () => true,
      });
      expect([name, verdict.ok]).toEqual([name, point === undefined]);
      if (point !== undefined)
        expect([name, verdict.failures.map((failure) => failure.point)]).toEqual([
          name,
          expect.arrayContaining([point]),
        ]);
    }
  });

  withBoth('are refused by openssl or Bouncy Castle too, and the good one by neither', () => {
    if (process.env.SHOW_JUDGES === '1')
      for (const { name, point } of cases)
        process.stderr.write(
          `${point} ${name}: openssl ${openssl.get(name)?.words}; bc ${bouncycastle.get(name)?.words}\n`,
        );
    const accepted = cases.filter(({ name }) => openssl.get(name)?.accepts && bouncycastle.get(name)?.accepts);
    expect(accepted.map(({ name }) => name)).toEqual(['good', ...OURS_ALONE]);
    expect([openssl.get('good')?.accepts, bouncycastle.get('good')?.accepts]).toEqual([true, true]);
  });

  withBoth('leave no point out that a judge without memory and clock can see', () => {
    const refused = cases.filter(
      ({ name }) => openssl.get(name)?.accepts === false || bouncycastle.get(name)?.accepts === false,
    );
    const points = new Set(refused.map(({ point }) => point));
    expect([...points].sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]);
  });
});
