import { X509Certificate } from 'node:crypto';
import { ecdsaRawToDer } from '../../domain/ecdsa-signature.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { Signer } from '../sealing/signer-client.ts';
import type { PdfSignatureAlg } from './cms.ts';
import type { PdfKey } from './sign-pdf.ts';

/** Key id of the key of PDFs at the signer. */
export const PDF_KID = 'pdf';

const ALGS: readonly PdfSignatureAlg[] = ['ES256', 'RS256', 'PS256'];

/**
 * The version of the PDF key that signs now, with its certificates. The signer reads the attributes and compares them with
 * the declared digest; the same document gives the same signature for a week. `context` goes into the signer's log.
 * Throws SIGNER_KEY_NOT_ACTIVE, SIGNER_BAD_ANSWER, CERTIFICATE_CHAIN_INCOMPLETE.
 */
export async function readPdfKey(
  signer: Signer,
  context: Readonly<Record<string, string>>,
): Promise<PdfKey & { readonly version: number }> {
  const { primaryVersion, versions } = await signer.key(PDF_KID);
  const found = versions.find((v) => v.version === primaryVersion);
  if (found === undefined) throw new ProoflineError('SIGNER_KEY_NOT_ACTIVE', `no version of ${PDF_KID} signs now`);
  const { version } = found;
  const alg = ALGS.find((known) => known === found.alg);
  if (alg === undefined) throw new ProoflineError('SIGNER_BAD_ANSWER', `${PDF_KID} signs ${found.alg}`);
  if (found.chain.length === 0)
    throw new ProoflineError('CERTIFICATE_CHAIN_INCOMPLETE', `no certificate names ${PDF_KID} version ${version}`);
  return {
    alg,
    version,
    chain: found.chain.map((pem) => new Uint8Array(new X509Certificate(pem).raw)),
    async sign(attributes, { docDigest }) {
      const { signatures } = await signer.sign({
        kid: PDF_KID,
        version,
        alg,
        kind: 'tbs',
        values: [attributes],
        context: { ...context, docDigest },
      });
      const signature = signatures[0] ?? new Uint8Array(0);
      return alg === 'ES256' ? ecdsaRawToDer(signature) : signature;
    },
  };
}
