/** The document security store (ETSI EN 319 142-1 §5.4.2): certificates and revocation lists, kept for later readers. */
import { follow, type State } from './revisions.ts';
import { entryOf, type PdfDict, PdfFault } from './scan.ts';
import { readStream } from './streams.ts';
import { listOf } from './updates.ts';

export interface ValidationData {
  /** DER of each. */
  readonly certificates: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
}

const MAX_ITEMS = 64;
const CERTIFICATE_MAX_LENGTH = 16_384;
const CRL_MAX_LENGTH = 1_048_576;

/** Undefined when the file has none. OCSP answers are passed over: none of our authorities gives them. Throws PdfFault. */
export async function readValidationData(state: State, trailer: PdfDict): Promise<ValidationData | undefined> {
  const dss = follow(state, entryOf(follow(state, trailer.entries.get('Root')), 'DSS'));
  if (dss === undefined) return undefined;
  const read = async (key: string, max: number): Promise<Uint8Array[]> => {
    const items = listOf(state, entryOf(dss, key));
    if (items.length > MAX_ITEMS) throw new PdfFault('unsupported', `more than ${MAX_ITEMS} ${key}`);
    const out: Uint8Array[] = [];
    for (const item of items) {
      const object = item.kind === 'ref' ? state.get(item.number) : undefined;
      if (object === undefined) throw new PdfFault('malformed', `an entry of ${key} is missing`);
      out.push(await readStream(object, max));
    }
    return out;
  };
  return { certificates: await read('Certs', CERTIFICATE_MAX_LENGTH), crls: await read('CRLs', CRL_MAX_LENGTH) };
}
