/** The bytes of streams: as they stand, or compressed by zlib (ISO 32000-1 §7.4.4), without predictors. */
import { nameOf, PdfFault, type PdfObject } from './scan.ts';

/** Decodes at most `max` bytes. Throws PdfFault. */
export async function readStream({ number, value, stream }: PdfObject, max: number): Promise<Uint8Array> {
  if (stream === undefined || value.kind !== 'dict') throw new PdfFault('malformed', `object ${number} is no stream`);
  const filter = value.entries.get('Filter');
  if (value.entries.has('DecodeParms') || value.entries.has('F'))
    throw new PdfFault('unsupported', `stream ${number} with parameters`);
  const only = filter?.kind === 'array' && filter.items.length === 1 ? filter.items[0] : filter;
  if (only === undefined) {
    if (stream.length > max)
      throw new PdfFault('malformed', `stream ${number} of ${stream.length} bytes, at most ${max}`);
    return stream;
  }
  if (nameOf(only) !== 'FlateDecode') throw new PdfFault('unsupported', `stream ${number} with another filter`);
  return inflate(stream, number, max);
}

/** A small stream may grow a thousandfold, so the output is counted as it comes. */
async function inflate(stream: Uint8Array, number: number, max: number): Promise<Uint8Array> {
  const reader = new Blob([new Uint8Array(stream)])
    .stream()
    .pipeThrough(new DecompressionStream('deflate'))
    .getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > max) throw new PdfFault('malformed', `stream ${number} grows beyond ${max} bytes`);
      parts.push(value);
    }
  } catch (fault) {
    throw fault instanceof PdfFault ? fault : new PdfFault('malformed', `stream ${number} is not zlib`);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
