import { randomBytes, X509Certificate } from 'node:crypto';
import { ecdsaRawToDer } from '../../domain/ecdsa-signature.ts';
import { answerQuery } from '../tsa/answer-query.ts';
import type { TsaSignatureAlgorithm } from '../tsa/build-token.ts';
import { LOCAL_TSA_POLICY } from '../tsa/policy.ts';
import { answerOnce, base64Url, type OperationDeps, requirePurpose, type SigningRequest } from './operation.ts';
import { SignerProblem } from './problem.ts';
import { parseTimestampBody } from './read-body.ts';

const SERIAL_BYTES = 16;

/** One TimeStampReq in DER, one TimeStampResp in DER (RFC 3161 §2.4): a refusal is a response too. */
export async function timestamp(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { version, query } = parseTimestampBody(request.value);
  const purpose = requirePurpose(deps, request, ['tsa']);
  return answerOnce(deps, request, purpose, async () => {
    const { meta, key } = deps.ring.select(request.kid, version);
    const [certificate, ...chain] = meta.chain.map((pem) => new Uint8Array(new X509Certificate(pem).raw));
    if (certificate === undefined) throw new SignerProblem('alg_not_allowed', `${meta.kid} has no certificate`);
    const serial = randomBytes(SERIAL_BYTES);
    serial[0] = (serial[0] ?? 0) & 0x7f;
    const response = await answerQuery(
      {
        certificate,
        chain,
        policy: LOCAL_TSA_POLICY,
        clock: deps.clock,
        random: (length) => new Uint8Array(randomBytes(length)),
        signatureAlgorithm: meta.alg as TsaSignatureAlgorithm,
        sign: async (attributes) => {
          const [signature = new Uint8Array(0)] = await key.sign([attributes]);
          return meta.alg === 'ES256' ? ecdsaRawToDer(signature) : signature;
        },
      },
      query,
      undefined,
      serial,
    );
    return { kid: meta.kid, version: meta.version, response: base64Url(response) };
  });
}
