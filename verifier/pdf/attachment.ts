/** The canonical JSON that a certificate PDF carries (ISO 32000-2 §7.11.4, PDF/A-3): the one embedded file, byte for byte. */
import { follow, type State } from './revisions.ts';
import { entryOf, type PdfDict, PdfFault, type PdfValue } from './scan.ts';
import { readStream } from './streams.ts';
import { listOf } from './updates.ts';

/** Longest attachment, in bytes; a certificate has about two thousand. */
const ATTACHMENT_MAX_LENGTH = 65_536;

/** The embedded file in force in `state`; undefined when there is none. Throws PdfFault, also when there are several. */
export async function readAttachment(state: State, trailer: PdfDict): Promise<Uint8Array | undefined> {
  const catalog = follow(state, trailer.entries.get('Root'));
  const tree = follow(state, entryOf(follow(state, entryOf(catalog, 'Names')), 'EmbeddedFiles'));
  const names = listOf(state, entryOf(tree, 'Names'));
  if (tree === undefined || names.length === 0) return undefined;
  if (entryOf(tree, 'Kids') !== undefined || names.length !== 2)
    throw new PdfFault('unsupported', 'more than one embedded file');
  const specification = follow(state, names[1]);
  const streams = follow(state, entryOf(specification, 'EF'));
  const [file, unicode] = ['F', 'UF'].map((key) => entryOf(streams, key));
  const found = file ?? unicode;
  if (isOther(file, unicode) || found?.kind !== 'ref')
    throw new PdfFault('malformed', 'the embedded file is no stream');
  const object = state.get(found.number);
  if (object === undefined) throw new PdfFault('malformed', 'the embedded file is missing');
  return readStream(object, ATTACHMENT_MAX_LENGTH);
}

/** Two names for one file must lead to the same one. */
function isOther(a: PdfValue | undefined, b: PdfValue | undefined): boolean {
  return a?.kind === 'ref' && b?.kind === 'ref' && a.number !== b.number;
}
