/** MACs and secrets: what keys without a public half do, and RSA decryption. */
import { timingSafeEqual } from 'node:crypto';
import { answerOnce, base64Url, type OperationDeps, requirePurpose, type SigningRequest, toJson } from './operation.ts';
import { SignerProblem } from './problem.ts';
import { parseCipherBody, parseMacBody, parseVerifyMacBody } from './read-body.ts';

/** HMAC-SHA-256 of each value. */
export async function makeMacs(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { version, values } = parseMacBody(request.value);
  const purpose = requirePurpose(deps, request, ['hmac']);
  return answerOnce(deps, request, purpose, async () => {
    const { meta, key } = deps.ring.select(request.kid, version);
    return { kid: meta.kid, version: meta.version, alg: meta.alg, macs: (await key.mac(values)).map(base64Url) };
  });
}

/** Whether each MAC is that of its value, in constant time; under a version that no longer makes any, too. */
export async function verifyMacs(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { version, values, macs } = parseVerifyMacBody(request.value);
  requirePurpose(deps, request, ['hmac']);
  const { meta, key } = deps.ring.select(request.kid, version, ['active', 'verify-only']);
  const expected = await key.mac(values);
  const valid = expected.map((mac, i) => {
    const given = macs[i] as Buffer;
    return given.length === mac.length && timingSafeEqual(mac, given);
  });
  return toJson({ kid: meta.kid, version: meta.version, valid });
}

/** Enciphers under the newest version of an A256GCM key; with an RSA key whoever has the public half does so alone. */
export async function encrypt(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { version, values, aad } = parseCipherBody(request.value);
  const purpose = requirePurpose(deps, request, ['decrypt']);
  return answerOnce(deps, request, purpose, async () => {
    const { meta, key } = deps.ring.select(request.kid, version);
    const ciphertexts = (await key.encrypt(values, aad)).map(base64Url);
    return { kid: meta.kid, version: meta.version, alg: meta.alg, values: ciphertexts };
  });
}

/** Deciphers what names its version, a retired one too. The answer holds secrets, so it is not kept; it is the same each time. */
export async function decrypt(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { version, values, aad } = parseCipherBody(request.value);
  requirePurpose(deps, request, ['decrypt']);
  if (version === undefined) throw new SignerProblem('request_malformed', 'version is missing');
  const { meta, key } = deps.ring.select(request.kid, version, ['active', 'verify-only']);
  const plain = (await key.decrypt(values, aad)).map(base64Url);
  return toJson({ kid: meta.kid, version: meta.version, alg: meta.alg, values: plain });
}
