/** Where a PDF is signed (ISO 32000-1 §12.8): each signature of the form, the revision that wrote it, and what it covers. */
import { concatBytes } from '../../domain/bytes.ts';
import { follow, type PdfFile, type State } from './revisions.ts';
import { entryOf, nameOf, type PdfDict, PdfFault, type PdfValue } from './scan.ts';
import { listOf } from './updates.ts';

export interface FoundSignature {
  readonly kind: 'signature' | 'timestamp';
  /** Index of the revision. */
  readonly revision: number;
  /** DER of the CMS or of the token, without the zeros behind it. */
  readonly cms: Uint8Array;
  /** The bytes that it covers. */
  readonly covered: Uint8Array;
  /** Why it does not cover its revision as it must; undefined if it does. */
  readonly gapFault: string | undefined;
}

const FORMS = {
  signature: { type: 'Sig', subFilter: 'ETSI.CAdES.detached', filter: 'Adobe.PPKLite' },
  timestamp: { type: 'DocTimeStamp', subFilter: 'ETSI.RFC3161', filter: 'Adobe.PPKLite' },
} as const;

/** Every signature, oldest first. Throws PdfFault on one that is written in a way none of ours is. */
export function findSignatures(file: PdfFile): FoundSignature[] {
  const last = file.states[file.states.length - 1] as State;
  const root = follow(last, file.revisions[file.revisions.length - 1]?.trailer.entries.get('Root'));
  const form = follow(last, entryOf(root, 'AcroForm'));
  const numbers = listOf(last, entryOf(form, 'Fields')).map((field) => signatureOfField(last, field));
  if (new Set(numbers).size !== numbers.length) throw new PdfFault('malformed', 'two fields with one signature');
  const signed = file.revisions.flatMap(({ objects }) =>
    [...objects.values()].filter(({ value }) => value.kind === 'dict' && value.entries.has('ByteRange')),
  );
  // One that no field shows would be counted by some readers and not by others; so would one that was replaced.
  if (signed.length !== numbers.length || signed.some(({ number }) => !numbers.includes(number)))
    throw new PdfFault('unsupported', `${signed.length} signatures for ${numbers.length} signature fields`);
  return file.revisions.flatMap(({ objects }, revision) =>
    numbers.flatMap((number) => {
      const dict = objects.get(number)?.value;
      return dict?.kind === 'dict' ? [readSignature(file, revision, dict)] : [];
    }),
  );
}

function signatureOfField(state: State, field: PdfValue): number {
  const dict = follow(state, field);
  const value = entryOf(dict, 'V');
  if (nameOf(entryOf(dict, 'FT')) !== 'Sig' || entryOf(dict, 'Kids') !== undefined || value?.kind !== 'ref')
    throw new PdfFault('unsupported', 'a form field that is no signature');
  return value.number;
}

function readSignature(file: PdfFile, revision: number, dict: PdfDict): FoundSignature {
  const { bytes } = file;
  const name = (key: string): string | undefined => nameOf(dict.entries.get(key));
  const kind = name('SubFilter') === FORMS.timestamp.subFilter ? 'timestamp' : 'signature';
  const form = FORMS[kind];
  const type = name('Type') ?? form.type;
  if (type !== form.type || name('SubFilter') !== form.subFilter || name('Filter') !== form.filter)
    throw new PdfFault(
      'unsupported',
      `a signature of the form ${type} ${name('SubFilter')} ${name('Filter')}`.slice(0, 120),
    );
  const contents = dict.entries.get('Contents');
  if (contents?.kind !== 'string' || !contents.isHex) throw new PdfFault('malformed', 'Contents is no hex string');
  const range = dict.entries.get('ByteRange');
  const [from, first, second, rest, ...more] =
    range?.kind === 'array' ? range.items.map((item) => (item.kind === 'number' ? item.value : Number.NaN)) : [];
  const end = file.revisions[revision]?.end as number;
  const gapFault =
    from === 0 && first === contents.from && second === contents.to && second + (rest ?? 0) === end && more.length === 0
      ? undefined
      : `ByteRange [${[from, first, second, rest, ...more].slice(0, 6).join(' ')}], expected [0 ${contents.from} ${contents.to} ${end - contents.to}]`;
  return {
    kind,
    revision,
    cms: trimZeros(contents.bytes),
    // Always what it ought to cover: a ByteRange that says less is refused, never believed.
    covered: concatBytes(bytes.subarray(0, contents.from), bytes.subarray(contents.to, end)),
    gapFault,
  };
}

/** The one DER element at the beginning; all behind it must be zeros (the room reserved for it). */
function trimZeros(contents: Uint8Array): Uint8Array {
  const first = contents[1] ?? 0;
  const count = first < 0x80 ? 0 : first & 0x7f;
  let length = first < 0x80 ? first : 0;
  for (let i = 0; i < Math.min(count, 4); i++) length = length * 256 + (contents[2 + i] ?? 0);
  const to = 2 + count + length;
  if (to > contents.length || contents.subarray(to).some((byte) => byte !== 0))
    throw new PdfFault('malformed', 'Contents is not one DER element with zeros behind it');
  return contents.subarray(0, to);
}
