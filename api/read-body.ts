/** Reading a request's body under a limit that acts while the bytes arrive. */
import type { IncomingMessage } from 'node:http';
import { utf8 } from '../domain/bytes.ts';
import { ProoflineError } from '../domain/errors.ts';
import { parseStrictJson } from '../domain/strict-json.ts';

export const MAX_JSON_BYTES = 1024 * 1024;

/** The media type without parameters, lower case. Throws MEDIA_TYPE_UNSUPPORTED for another one, charset or encoding. */
export function requireMediaType(req: IncomingMessage, ...allowed: readonly string[]): string {
  const [type = '', ...parameters] = (req.headers['content-type'] ?? '')
    .split(';')
    .map((part) => part.trim().toLowerCase());
  if (!allowed.includes(type)) throw new ProoflineError('MEDIA_TYPE_UNSUPPORTED', `expected ${allowed.join(' or ')}`);
  const charset = parameters.find((parameter) => parameter.startsWith('charset='));
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset))
    throw new ProoflineError('MEDIA_TYPE_UNSUPPORTED', 'the charset is UTF-8');
  const encoding = req.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity')
    throw new ProoflineError('MEDIA_TYPE_UNSUPPORTED', 'no content encoding is supported');
  return type;
}

/**
 * The body's chunks, at most `maxBytes` in all. Throws BODY_TOO_LARGE as soon as that is known, STREAM_INTERRUPTED if
 * the client stops before the end. What remains unread then is discarded, so that the answer arrives.
 */
export async function* readChunks(req: IncomingMessage, maxBytes: number): AsyncGenerator<Uint8Array> {
  const announced = Number(req.headers['content-length'] ?? 0);
  if (announced > maxBytes)
    throw new ProoflineError('BODY_TOO_LARGE', `${announced} bytes announced, at most ${maxBytes}`);
  let total = 0;
  const chunks = req.iterator({ destroyOnReturn: false });
  try {
    for await (const chunk of chunks) {
      total += (chunk as Uint8Array).length;
      if (total > maxBytes) throw new ProoflineError('BODY_TOO_LARGE', `more than ${maxBytes} bytes`);
      yield chunk as Uint8Array;
    }
  } catch (error) {
    if (error instanceof ProoflineError) throw error;
    throw new ProoflineError('STREAM_INTERRUPTED', `after ${total} bytes`, { cause: error });
  }
  if (!req.complete) throw new ProoflineError('STREAM_INTERRUPTED', `after ${total} bytes`);
}

/** The whole body as text. Throws BODY_MALFORMED unless it is UTF-8, and the errors of readChunks. */
export async function readTextBody(req: IncomingMessage, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of readChunks(req, maxBytes)) parts.push(chunk);
  return decodeUtf8(Buffer.concat(parts));
}

/** The whole body as strict JSON, at most 1 MiB unless told otherwise. Throws the errors of readTextBody and parseStrictJson. */
export async function readJsonBody(req: IncomingMessage, maxBytes = MAX_JSON_BYTES): Promise<unknown> {
  requireMediaType(req, 'application/json');
  return parseStrictJson(await readTextBody(req, maxBytes));
}

export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new ProoflineError('BODY_MALFORMED', 'not UTF-8', { cause });
  }
}
