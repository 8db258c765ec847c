import { readFile } from 'node:fs/promises';
import type { TsaConfig } from '../activities/timestamping/tsa-pool.ts';
import { ProoflineError } from '../domain/errors.ts';
import { bool, list, object, positive, type Read, ShapeFault, text } from '../domain/shape.ts';
import { parseStrictJson } from '../domain/strict-json.ts';

const MAX_LENGTH = 16 * 1_048_576;
const pem = text('PEM', MAX_LENGTH, /-----BEGIN /);
const tsas: Read<readonly TsaConfig[]> = list(
  object(
    {
      // A label of metrics and a member of every bundle.
      name: text('printable ASCII', 255, /^[\x20-\x7e]+$/),
      url: text('an http(s) URL', 1_024, /^https?:\/\/[\x21-\x7e]+$/),
      policies: list(text('an OID', 128, /^[0-2](?:\.(?:0|[1-9][0-9]*))+$/), 64, 1),
      roots: list(pem, 64, 1),
      selfOperated: bool,
    },
    { crls: list(pem, 64), bucket: object({ capacity: positive, refillMs: positive }) },
  ),
  64,
  1,
);

/**
 * Reads `PROOFLINE_TSAS_FILE`: a JSON list of authorities in order of preference, each `{name, url, policies, roots,
 * selfOperated}` with, if any, `crls` and `bucket` (`{capacity, refillMs}`: so many requests at once, one more each so
 * many milliseconds). Throws CONFIG_INVALID with the path of the fault.
 */
export async function readTsas(file: string): Promise<readonly TsaConfig[]> {
  try {
    const source = await readFile(file, 'utf8');
    if (source.length > MAX_LENGTH) throw new ShapeFault('$', `at most ${MAX_LENGTH} characters`);
    return tsas(parseStrictJson(source), '$');
  } catch (cause) {
    const isNamed = cause instanceof ShapeFault || cause instanceof ProoflineError;
    const reason = isNamed ? cause.message : ((cause as NodeJS.ErrnoException).code ?? 'unreadable');
    throw new ProoflineError('CONFIG_INVALID', `${file}: ${reason}`, { cause });
  }
}
