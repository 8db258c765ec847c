import type { OpenCertificate } from './certificate.ts';
import { type ClaimResult, result } from './verdict.ts';

/**
 * Claim `licence`: the certificate states the grant whose unit it consumed. A grant is a matter between operator and
 * tenant and no part of a bundle, so the claim stands and falls with the certificate.
 */
export function checkLicence(opened: OpenCertificate, certificate: ClaimResult): ClaimResult {
  const grant = opened.isPresent ? opened.parsed?.payload.licence.grant : undefined;
  if (!opened.isPresent) return certificate;
  return certificate.verdict === 'valid'
    ? result('valid', 'licence-stated', { detail: `grant ${grant}`, at: certificate.at })
    : result('unverified', 'certificate-not-valid');
}
