/** The registry: every workflow type of Proofline. Everything exported here becomes one. */
export { anchorCheckpoint } from './anchor-checkpoint.ts';
export { anchorContract } from './anchor-contract.ts';
export { certifyBatch } from './certify-batch.ts';
export { changeOrganisation } from './change-organisation.ts';
export { checkIntegrity } from './check-integrity.ts';
export { importLicense } from './import-license.ts';
export { renderCertificate } from './render-certificate.ts';
export { renewEvidence } from './renew-evidence.ts';
export { renewLicensePeriods } from './renew-license-periods.ts';
export { runLog } from './run-log.ts';
