/**
 * What a revision after a signature may do (ISO 32000-2 §12.8.2.2, ETSI EN 319 142-1 §5.4): add validation data and a
 * document timestamp. Nothing that a reader shows, attaches or was signed may become another object; whatever an update
 * writes must be explained by one of the two, or the update is refused. This is what shadow attacks run into.
 */
import { follow, type Revision, type State } from './revisions.ts';
import { entryOf, isSameValue, nameOf, type PdfDict, type PdfValue } from './scan.ts';

/** Why the update is refused, for people; undefined when it only adds what it may. */
export function findForbiddenChange(
  before: State,
  signed: Revision,
  update: Revision,
  after: State,
): string | undefined {
  const explained = new Set<number>();
  const why =
    compareTrailers(signed.trailer, update.trailer) ??
    compareCatalogs({ before, after, update, explained }, signed.trailer);
  if (why !== undefined) return why;
  const strange = [...update.objects.keys()].find((number) => !explained.has(number));
  if (strange !== undefined) return describe(strange, before);
  // A number that was free under the signature may be one that a signed object refers to.
  const size = signed.trailer.entries.get('Size');
  const filled = [...update.objects.keys()].find(
    (number) => !before.has(number) && size?.kind === 'number' && number < size.value,
  );
  return filled === undefined ? undefined : `object ${filled} fills a gap that was signed`;
}

interface Change {
  readonly before: State;
  readonly after: State;
  readonly update: Revision;
  /** Numbers of the objects of the update that are what they may be. */
  readonly explained: Set<number>;
}

const describe = (number: number, before: State): string =>
  `object ${number} is ${before.has(number) ? 'replaced' : 'added'}, and is no validation data or timestamp`;

function compareTrailers(before: PdfDict, after: PdfDict): string | undefined {
  for (const key of new Set([...before.entries.keys(), ...after.entries.keys()])) {
    const [old, now] = [before.entries.get(key), after.entries.get(key)];
    if (key === 'Size' || key === 'Prev') continue;
    // The second half of ID may tell the revision; the first is the file's for ever (§14.4).
    const isSame = key === 'ID' ? isSameValue(firstOf(old), firstOf(now)) : isSameValue(old, now);
    if (!isSame) return `the trailer's ${key} is changed`;
  }
  return undefined;
}

const firstOf = (value: PdfValue | undefined): PdfValue | undefined =>
  value?.kind === 'array' ? value.items[0] : undefined;

function compareCatalogs(change: Change, trailer: PdfDict): string | undefined {
  const { before, after } = change;
  const root = trailer.entries.get('Root');
  const old = follow(before, root);
  const now = follow(after, root);
  if (old?.kind !== 'dict' || now?.kind !== 'dict') return 'the catalog is no dictionary';
  const key = differingKey(old, now, ['DSS', 'AcroForm']);
  if (key !== undefined) return `the catalog's ${key} is changed`;
  explain(change, root);
  return (
    compareForms(change, old.entries.get('AcroForm'), now.entries.get('AcroForm')) ??
    compareDss(change, old.entries.get('DSS'), now.entries.get('DSS'))
  );
}

/** The form keeps its fields and gains at most document timestamps, each shown on a page as a widget without extent. */
function compareForms(
  change: Change,
  oldForm: PdfValue | undefined,
  newForm: PdfValue | undefined,
): string | undefined {
  const { before, after } = change;
  const old = follow(before, oldForm);
  const now = follow(after, newForm);
  if (old?.kind !== 'dict' || now?.kind !== 'dict') return 'the form is gone';
  const key = differingKey(old, now, ['Fields']);
  if (key !== undefined) return `the form's ${key} is changed`;
  const added = appendedTo(change, old.entries.get('Fields'), now.entries.get('Fields'));
  if (added === undefined) return "the form's fields are changed";
  explain(change, newForm);
  explain(change, now.entries.get('Fields'));
  const names = new Set(listOf(before, old.entries.get('Fields')).map((field) => keyOfName(before, field)));
  for (const field of added) {
    const why = checkTimestampField(change, field, names, added);
    if (why !== undefined) return why;
  }
  return undefined;
}

const FIELD_KEYS = new Set(['Type', 'Subtype', 'FT', 'T', 'F', 'Rect', 'P', 'V', 'Ff']);
const TIMESTAMP_KEYS = new Set(['Type', 'Filter', 'SubFilter', 'ByteRange', 'Contents', 'V']);

function checkTimestampField(
  change: Change,
  field: PdfValue,
  names: Set<string>,
  added: readonly PdfValue[],
): string | undefined {
  const { before, after } = change;
  const dict = follow(after, field);
  if (field.kind !== 'ref' || before.has(field.number) || dict?.kind !== 'dict') return 'a field is no new object';
  const strange = [...dict.entries.keys()].find((key) => !FIELD_KEYS.has(key));
  if (strange !== undefined) return `a new field has ${strange}`;
  const rect = dict.entries.get('Rect');
  const isHidden =
    rect?.kind === 'array' &&
    rect.items.length === 4 &&
    rect.items.every((side) => side.kind === 'number' && side.value === 0);
  if (nameOf(dict.entries.get('FT')) !== 'Sig' || nameOf(dict.entries.get('Subtype')) !== 'Widget' || !isHidden)
    return 'a new field is no invisible signature field';
  const name = keyOfName(after, field);
  if (names.has(name)) return 'a new field has the name of another';
  names.add(name);
  const reference = dict.entries.get('V');
  const stamp = follow(after, reference);
  if (reference?.kind !== 'ref' || before.has(reference.number) || nameOf(entryOf(stamp, 'Type')) !== 'DocTimeStamp')
    return 'a new signature that is no document timestamp';
  if (stamp?.kind === 'dict' && [...stamp.entries.keys()].some((key) => !TIMESTAMP_KEYS.has(key)))
    return 'a document timestamp with more than it needs';
  explain(change, field);
  explain(change, reference);
  const page = dict.entries.get('P');
  return page === undefined ? undefined : checkPage(change, page, added);
}

/** The page gains the widgets of the new fields and nothing else. */
function checkPage(change: Change, page: PdfValue, fields: readonly PdfValue[]): string | undefined {
  const { before, after } = change;
  const old = follow(before, page);
  const now = follow(after, page);
  if (page.kind !== 'ref' || old?.kind !== 'dict' || now?.kind !== 'dict' || nameOf(old.entries.get('Type')) !== 'Page')
    return 'a new field on no page';
  const key = differingKey(old, now, ['Annots']);
  if (key !== undefined) return `a page's ${key} is changed`;
  const added = appendedTo(change, old.entries.get('Annots'), now.entries.get('Annots'));
  if (added === undefined || added.some((one) => !fields.some((field) => isSameValue(field, one))))
    return "a page's annotations are changed";
  explain(change, page);
  explain(change, now.entries.get('Annots'));
  return undefined;
}

const DSS_LISTS = ['Certs', 'CRLs', 'OCSPs'] as const;
const VRI_KEYS = new Set(['Type', 'Cert', 'CRL', 'OCSP', 'TU', 'TS']);

/** The security store keeps what it has and gains streams. */
function compareDss(change: Change, oldDss: PdfValue | undefined, newDss: PdfValue | undefined): string | undefined {
  const { before, after } = change;
  if (newDss === undefined) return oldDss === undefined ? undefined : 'the validation data are gone';
  const old = follow(before, oldDss);
  const now = follow(after, newDss);
  if (now?.kind !== 'dict') return 'the validation data are no dictionary';
  const strange = [...now.entries.keys()].find((key) => ![...DSS_LISTS, 'Type', 'VRI'].includes(key));
  if (strange !== undefined) return `the validation data have ${strange}`;
  for (const key of DSS_LISTS) {
    const held = listOf(before, entryOf(old, key));
    const list = listOf(after, now.entries.get(key));
    if (held.some((one) => !list.some((other) => isSameValue(one, other))))
      return `validation data are gone from ${key}`;
    explain(change, now.entries.get(key));
    for (const item of list) {
      const why = explainStream(change, item);
      if (why !== undefined) return why;
    }
  }
  explain(change, newDss);
  return checkVri(change, now.entries.get('VRI'));
}

function explainStream(change: Change, item: PdfValue): string | undefined {
  const object = item.kind === 'ref' ? change.after.get(item.number) : undefined;
  if (item.kind !== 'ref' || object?.stream === undefined || object.value.kind !== 'dict')
    return 'an entry of the validation data is no stream';
  if (!change.update.objects.has(item.number)) return undefined;
  if (change.before.has(item.number)) return describe(item.number, change.before);
  if ([...object.value.entries.keys()].some((key) => key !== 'Length' && key !== 'Filter'))
    return 'a stream of the validation data with more than a length and a filter';
  change.explained.add(item.number);
  return undefined;
}

/** Per-signature lists are an index into the three; nothing else may hang there. */
function checkVri(change: Change, vri: PdfValue | undefined): string | undefined {
  if (vri === undefined) return undefined;
  const all = follow(change.after, vri);
  if (all?.kind !== 'dict') return 'VRI is no dictionary';
  explain(change, vri);
  for (const [key, one] of all.entries) {
    if (key === 'Type') continue;
    const dict = follow(change.after, one);
    if (!/^[0-9A-F]{40}$/.test(key) || dict?.kind !== 'dict') return 'VRI has another key than a digest';
    explain(change, one);
    for (const [name, list] of dict.entries) {
      if (!VRI_KEYS.has(name)) return `VRI has ${name}`;
      if (name === 'Type' || name === 'TU') continue;
      explain(change, list);
      for (const item of name === 'TS' ? [list] : listOf(change.after, list)) {
        const why = explainStream(change, item);
        if (why !== undefined) return why;
      }
    }
  }
  return undefined;
}

/** Marks the object behind a reference; a direct value stands in an object that is marked itself. */
function explain({ explained }: Change, value: PdfValue | undefined): void {
  if (value?.kind === 'ref') explained.add(value.number);
}

/** What `now` has after all that `old` has; undefined when the two do not begin the same. */
function appendedTo(
  { before, after }: Change,
  old: PdfValue | undefined,
  now: PdfValue | undefined,
): readonly PdfValue[] | undefined {
  const held = listOf(before, old);
  const list = listOf(after, now);
  return held.every((one, i) => isSameValue(one, list[i])) ? list.slice(held.length) : undefined;
}

export function listOf(state: State, value: PdfValue | undefined): readonly PdfValue[] {
  const list = follow(state, value);
  return list?.kind === 'array' ? list.items : [];
}

function keyOfName(state: State, field: PdfValue): string {
  const name = entryOf(follow(state, field), 'T');
  return name?.kind === 'string' ? String.fromCharCode(...name.bytes.subarray(0, 256)) : '';
}

/** The first key outside `except` under which the two differ. */
function differingKey(old: PdfDict, now: PdfDict, except: readonly string[]): string | undefined {
  return [...new Set([...old.entries.keys(), ...now.entries.keys()])].find(
    (key) => !except.includes(key) && !isSameValue(old.entries.get(key), now.entries.get(key)),
  );
}
