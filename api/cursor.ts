/** Opaque cursors of keyset pages. */
import { fromBase64Url, toBase64Url, utf8 } from '../domain/bytes.ts';
import { ProoflineError } from '../domain/errors.ts';
import { isUuid, type ProofId } from '../domain/ids.ts';
import type { ListPosition } from '../store/proofs.read.ts';

const INSTANT = /^2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

export function formatCursor({ receivedAt, id }: ListPosition): string {
  return toBase64Url(utf8.encode(`1 ${receivedAt} ${id}`));
}

/** Throws CURSOR_MALFORMED for anything that formatCursor did not write. */
export function parseCursor(text: string): ListPosition {
  const [version, receivedAt = '', id, ...rest] = decode(text).split(' ');
  if (version !== '1' || rest.length > 0 || !isStoredInstant(receivedAt) || !isUuid(id))
    throw new ProoflineError('CURSOR_MALFORMED');
  return { receivedAt, id: id as string as ProofId };
}

/**
 * The place in another list: its name and the parts of the last row's key, none of which holds a space. A cursor of one list is
 * none of another.
 */
export function formatPlace(list: string, parts: readonly string[]): string {
  return toBase64Url(utf8.encode(['1', list, ...parts].join(' ')));
}

/** The parts of a place, each of the form that is asked for. Throws CURSOR_MALFORMED for anything else. */
export function parsePlace<const F extends readonly ((part: string) => boolean)[]>(
  list: string,
  text: string,
  forms: F,
): { readonly [K in keyof F]: string } {
  const [version, name, ...parts] = decode(text).split(' ');
  const fits = parts.length === forms.length && parts.every((part, i) => forms[i]?.(part));
  if (version !== '1' || name !== list || !fits) throw new ProoflineError('CURSOR_MALFORMED');
  return parts as unknown as { readonly [K in keyof F]: string };
}

/** An instant as the store writes it. */
export function isStoredInstant(text: string): boolean {
  return INSTANT.test(text) && isOnCalendar(text);
}

/** Date.parse takes the 30th of February; the store does not. */
function isOnCalendar(instant: string): boolean {
  const ms = Date.parse(instant);
  return !Number.isNaN(ms) && new Date(ms).toISOString().slice(0, 19) === instant.slice(0, 19);
}

function decode(text: string): string {
  const bytes = fromBase64Url(text);
  if (bytes === undefined) throw new ProoflineError('CURSOR_MALFORMED');
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new ProoflineError('CURSOR_MALFORMED', '', { cause });
  }
}
