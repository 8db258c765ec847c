import { createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { fromBase64Url } from '../../domain/bytes.ts';
import { systemClock } from '../../domain/clock.ts';
import { createVerificationCache } from '../../domain/timestamp/cache.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { readTimestampResponse } from '../../domain/timestamp/token.ts';
import { verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import { makeAuthority, POLICY } from '../../local/evidence/authority.ts';
import { answerQuery, type TsaAuthority } from '../../local/tsa/answer-query.ts';
import { makeCa, makeLeaf } from '../../local/tsa/authority-certificates.ts';
import { LOCAL_TSA_POLICY } from '../../local/tsa/policy.ts';
import { nodeSigner } from '../../local/tsa/sign-in-process.ts';
import type { BenchContext, Section } from '../figure.ts';
import { show } from '../statistics.ts';

const TOKENS = 2_000;

interface Made {
  readonly tokens: readonly { readonly imprint: Uint8Array; readonly token: Uint8Array }[];
  readonly roots: readonly (string | Uint8Array)[];
  readonly crls: readonly Uint8Array[];
  readonly policy: string;
}

const imprintOf = (n: number): Uint8Array => new Uint8Array(createHash('sha256').update(`checkpoint ${n}`).digest());

/** Tokens of an authority below its root, with a revocation list. */
async function madeDirectly(count: number): Promise<Made> {
  const authority = await makeAuthority('bench');
  const tokens = [];
  for (let n = 0; n < count; n++) {
    const imprint = imprintOf(n);
    const { token } = await authority.stamp(imprint, '2026-11-23T08:00:01.5Z');
    tokens.push({ imprint, token: fromBase64Url(token) ?? new Uint8Array(0) });
  }
  const crl = fromBase64Url(authority.crl) ?? new Uint8Array(0);
  return { tokens, roots: [authority.rootPem], crls: [crl], policy: POLICY };
}

/** Tokens of an RSA authority below an intermediate. */
async function madeByRsa(count: number): Promise<Made> {
  const root = await makeCa('Proofline bench root');
  const issuer = await makeCa('Proofline bench issuer', root);
  const rsa = {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2_048,
    publicExponent: Uint8Array.of(1, 0, 1),
    hash: 'SHA-256',
  };
  const keys = await crypto.subtle.generateKey(rsa, true, ['sign', 'verify']);
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const authority: TsaAuthority = {
    certificate: await makeLeaf(issuer, keys.publicKey),
    chain: [issuer.der],
    sign: nodeSigner(createPrivateKey({ key, format: 'der', type: 'pkcs8' }), 'RS256'),
    signatureAlgorithm: 'RS256',
    policy: LOCAL_TSA_POLICY,
    clock: systemClock(),
    random: (length) => new Uint8Array(randomBytes(length)),
  };
  const tokens = [];
  for (let n = 0; n < count; n++) {
    const imprint = imprintOf(n);
    const query = buildTimestampRequest({ imprint, nonce: authority.random(8) });
    const reply = readTimestampResponse(await answerQuery(authority, query, undefined, authority.random(15)));
    tokens.push({ imprint, token: reply.token ?? new Uint8Array(0) });
  }
  return { tokens, roots: [root.der], crls: [], policy: authority.policy };
}

/** Tokens a second with `concurrency` under way. */
async function measure({ tokens, roots, crls, policy }: Made, concurrency: number, isCold: boolean): Promise<number> {
  const shared = createVerificationCache();
  const queue = tokens.values();
  const began = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (const { imprint, token } of queue) {
        const cache = isCold ? createVerificationCache() : shared;
        const verdict = await verifyTimestampToken(token, { imprint, roots, crls, policies: [policy], cache });
        if (!verdict.ok) throw new Error(`a token of the benchmark is refused: ${JSON.stringify(verdict.failures)}`);
      }
    }),
  );
  return (tokens.length / (performance.now() - began)) * 1000;
}

/** Timestamp tokens a second that our verification judges: points 2, 3, 5 to 10 and 12, chain and revocation list included. */
export async function measureTokens({ quick }: BenchContext): Promise<Section> {
  const count = quick ? TOKENS / 5 : TOKENS;
  const rows: (readonly [string, Made])[] = [
    ['ECDSA P-256, root, with a revocation list', await madeDirectly(count)],
    ['RSA-2048, root and intermediate', await madeByRsa(count)],
  ];
  const table = [['tokens of', 'bytes', 'one at a time, per s', '16 at once, per s', 'each chain anew, per s']];
  for (const [name, made] of rows) {
    await measure(made, 4, false);
    table.push([
      name,
      show(made.tokens[0]?.token.length ?? 0),
      show(await measure(made, 1, false)),
      show(await measure(made, 16, false)),
      show(await measure(made, 1, true)),
    ]);
  }
  return {
    title: 'Timestamp tokens verified',
    method: `${count} tokens, each over another checkpoint; one process, from DER to verdict. Certificates, lists and chain signatures are remembered as in a verifier that runs on; in the last column nothing is.`,
    table,
    notes: ['A bundle needs one; a deployment at full load stamps one a second.'],
  };
}
