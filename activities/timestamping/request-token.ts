/** One exchange with one authority over HTTP (RFC 3161 §3.4), bounded in time and bytes. */
import type { Dispatcher } from 'undici';
import { request } from 'undici';
import { ProoflineError } from '../../domain/errors.ts';

export interface ExchangeBounds {
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly dispatcher: Dispatcher;
}

/**
 * Posts a TimeStampReq and returns the bytes of the reply, unjudged. Throws TSA_UNAVAILABLE on every transport fault, on
 * any status but 200 (authorities say "too many requests" with 400, 429 and 503) and beyond the bounds.
 */
export async function requestToken(
  url: string,
  query: Uint8Array,
  bounds: ExchangeBounds,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(bounds.timeoutMs);
  try {
    const { statusCode, headers, body } = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' },
      body: query,
      dispatcher: bounds.dispatcher,
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    });
    const type = String(headers['content-type'] ?? '')
      .split(';')[0]
      ?.trim()
      .toLowerCase();
    if (statusCode !== 200 || type !== 'application/timestamp-reply') {
      // An unread body keeps its connection; destroyed, it reports an abort that nobody waits for.
      body.on('error', () => {}).destroy();
      throw new ProoflineError('TSA_UNAVAILABLE', `HTTP ${statusCode} ${type ?? ''}`.trim());
    }
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of body as AsyncIterable<Uint8Array>) {
      length += part.length;
      // Leaving the loop destroys the body, and with it the rest of the reply.
      if (length > bounds.maxBytes)
        throw new ProoflineError('TSA_UNAVAILABLE', `reply longer than ${bounds.maxBytes} bytes`);
      parts.push(part);
    }
    return new Uint8Array(Buffer.concat(parts));
  } catch (error) {
    if (error instanceof ProoflineError) throw error;
    const reason = timeout.aborted ? `no reply within ${bounds.timeoutMs} ms` : codeOf(error);
    throw new ProoflineError('TSA_UNAVAILABLE', reason, { cause: error });
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  return (error as { code?: string }).code ?? error.name;
}
