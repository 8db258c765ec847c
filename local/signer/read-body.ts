import type { IncomingMessage } from 'node:http';
import { utf8 } from '../../domain/bytes.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { parseStrictJson } from '../../domain/strict-json.ts';
import { SignerProblem } from './problem.ts';

/** Bounds of one request; `GET /v1/info` tells them. */
export const LIMITS = {
  bodyBytes: 8 * 1024 * 1024,
  values: 1_000,
  valueBytes: 64 * 1024,
  bodies: 100,
  transactionBytes: 6_144,
  queryBytes: 4_096,
  aadBytes: 1_024,
} as const;

/** Reads a JSON object, counting while it reads. Throws `body_too_large` or `request_malformed`. */
export async function readJsonBody(
  request: IncomingMessage,
): Promise<{ readonly bytes: Buffer; readonly value: Readonly<Record<string, unknown>> }> {
  if (!/^application\/json(?:;|$)/.test(request.headers['content-type'] ?? ''))
    throw new SignerProblem('request_malformed', 'the content type is not application/json');
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LIMITS.bodyBytes) throw new SignerProblem('body_too_large', `at most ${LIMITS.bodyBytes} bytes`);
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  let value: unknown;
  try {
    value = parseStrictJson(utf8.decode(bytes));
  } catch (cause) {
    throw new SignerProblem(
      'request_malformed',
      cause instanceof ProoflineError ? cause.message : 'the body is not UTF-8',
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new SignerProblem('request_malformed', 'the body is not an object');
  return { bytes, value: value as Record<string, unknown> };
}

export interface SignBody {
  readonly version: number | undefined;
  readonly alg: string;
  readonly kind: 'tbs' | 'digest';
  readonly values: readonly Buffer[];
  readonly context: Readonly<Record<string, string>>;
}

/** Checks the body of `…/sign`. Throws `request_malformed` or `value_refused` with the index. */
export function parseSignBody(body: Readonly<Record<string, unknown>>): SignBody {
  requireMembers(body, ['version', 'alg', 'input', 'context']);
  const { version, alg, input, context = {} } = body;
  requireVersion(version);
  if (typeof alg !== 'string') throw new SignerProblem('request_malformed', 'alg is missing');
  if (!isObject(input)) throw new SignerProblem('request_malformed', 'input is missing');
  requireMembers(input, ['kind', 'values']);
  if (input.kind !== 'tbs' && input.kind !== 'digest')
    throw new SignerProblem('request_malformed', 'input.kind is tbs or digest');
  if (
    !isObject(context) ||
    Object.keys(context).length > 16 ||
    !Object.values(context).every((v) => typeof v === 'string' && v.length <= 256)
  ) {
    throw new SignerProblem('request_malformed', 'context holds at most 16 strings of 256 characters');
  }
  const values = parseBytes(input.values, LIMITS.values, LIMITS.valueBytes, 'input.values');
  return {
    version,
    alg,
    kind: input.kind,
    values,
    context: context as Record<string, string>,
  };
}

/** Checks the body of `…/sign-transaction`. */
export function parseTransactionBody(body: Readonly<Record<string, unknown>>): {
  readonly version: number | undefined;
  readonly kind: 'hedera' | 'evm';
  readonly bodies: readonly Buffer[];
} {
  requireMembers(body, ['version', 'kind', 'bodies']);
  const { version, kind } = body;
  requireVersion(version);
  if (kind !== 'hedera' && kind !== 'evm') throw new SignerProblem('request_malformed', 'kind is hedera or evm');
  return { version, kind, bodies: parseBytes(body.bodies, LIMITS.bodies, LIMITS.transactionBytes, 'bodies') };
}

interface ValuesBody {
  readonly version: number | undefined;
  readonly values: readonly Buffer[];
}

/** Checks the body of `…/mac`. */
export function parseMacBody(body: Readonly<Record<string, unknown>>): ValuesBody {
  requireMembers(body, ['version', 'values']);
  requireVersion(body.version);
  return { version: body.version, values: parseBytes(body.values, LIMITS.values, LIMITS.valueBytes, 'values') };
}

/** Checks the body of `…/verify-mac`: as many MACs as values. */
export function parseVerifyMacBody(
  body: Readonly<Record<string, unknown>>,
): ValuesBody & { readonly macs: readonly Buffer[] } {
  const { macs: given, ...rest } = body;
  const parsed = parseMacBody(rest);
  const macs = parseBytes(given, LIMITS.values, LIMITS.valueBytes, 'macs');
  if (macs.length !== parsed.values.length)
    throw new SignerProblem('request_malformed', `${macs.length} macs for ${parsed.values.length} values`);
  return { ...parsed, macs };
}

/** Checks the body of `…/encrypt` and `…/decrypt`; without associated data nothing is opened. */
export function parseCipherBody(body: Readonly<Record<string, unknown>>): ValuesBody & { readonly aad: Buffer } {
  const { aad: given, ...rest } = body;
  const [aad] = parseBytes([given], 1, LIMITS.aadBytes, 'aad');
  if (aad === undefined) throw new SignerProblem('request_malformed', 'aad is missing');
  return { ...parseMacBody(rest), aad };
}

/** Checks the body of `…/timestamp`. */
export function parseTimestampBody(body: Readonly<Record<string, unknown>>): {
  readonly version: number | undefined;
  readonly query: Buffer;
} {
  requireMembers(body, ['version', 'query']);
  requireVersion(body.version);
  const [query] = parseBytes([body.query], 1, LIMITS.queryBytes, 'query');
  if (query === undefined) throw new SignerProblem('request_malformed', 'query is missing');
  return { version: body.version, query };
}

export interface RotateBody {
  /** The newest version that the caller saw: a repeat of a rotation that was done changes nothing. */
  readonly after: number;
  readonly announceMs: number | undefined;
  readonly overlapMs: number | undefined;
}

/** Checks the body of `…/rotate`. */
export function parseRotateBody(body: Readonly<Record<string, unknown>>): RotateBody {
  requireMembers(body, ['after', 'announceMs', 'overlapMs']);
  const { after, announceMs, overlapMs } = body;
  requireVersion(after);
  if (after === undefined) throw new SignerProblem('request_malformed', 'after is missing');
  return { after, announceMs: readMillis(announceMs), overlapMs: readMillis(overlapMs) };
}

/** Checks the body of `…/withdraw`: `at` only of `compromised`, and not in the future. */
export function parseWithdrawBody(
  body: Readonly<Record<string, unknown>>,
  nowMs: number,
): {
  readonly version: number;
  readonly state: 'compromised' | 'verify-only' | 'suspended' | 'destroyed';
  readonly at: string;
} {
  requireMembers(body, ['version', 'state', 'at']);
  const { version, state, at = new Date(nowMs).toISOString() } = body;
  requireVersion(version);
  if (version === undefined) throw new SignerProblem('request_malformed', 'version is missing');
  if (state !== 'compromised' && state !== 'verify-only' && state !== 'suspended' && state !== 'destroyed')
    throw new SignerProblem('request_malformed', 'state is compromised, verify-only, suspended or destroyed');
  if (typeof at !== 'string' || !INSTANT.test(at) || !(Date.parse(at) <= nowMs))
    throw new SignerProblem('request_malformed', 'at is an instant in the past, RFC 3339 in UTC');
  if (body.at !== undefined && state !== 'compromised')
    throw new SignerProblem('request_malformed', 'at goes with compromised alone');
  return { version, state, at: new Date(at).toISOString() };
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z$/;
const MAX_MILLIS = 366 * 86_400_000;

function readMillis(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > MAX_MILLIS)
    throw new SignerProblem('request_malformed', `a period is 0 to ${MAX_MILLIS} milliseconds`);
  return value;
}

function requireVersion(version: unknown): asserts version is number | undefined {
  if (version !== undefined && !(Number.isSafeInteger(version) && (version as number) > 0))
    throw new SignerProblem('request_malformed', 'version is a positive integer');
}

function parseBytes(list: unknown, maxCount: number, maxBytes: number, name: string): Buffer[] {
  if (!Array.isArray(list) || list.length === 0 || list.length > maxCount)
    throw new SignerProblem('request_malformed', `${name} holds 1 to ${maxCount} values`);
  return list.map((text: unknown, index) => {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'base64url') : undefined;
    // Node decodes leniently; only the one spelling that it writes itself is taken.
    if (bytes === undefined || bytes.toString('base64url') !== text)
      throw new SignerProblem('value_refused', `value ${index} is not base64url`, { index });
    if (bytes.length === 0 || bytes.length > maxBytes)
      throw new SignerProblem('value_refused', `value ${index} has ${bytes.length} bytes, expected 1 to ${maxBytes}`, {
        index,
      });
    return bytes;
  });
}

function requireMembers(body: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const unknown = Object.keys(body).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new SignerProblem('request_malformed', `unknown member ${JSON.stringify(unknown.slice(0, 64))}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
