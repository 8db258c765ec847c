/** The one error of this room: a structure of the log that does not have its format. */

/** Which format was broken. Closed, so that callers can map every member. */
export type LogFormatCode =
  | 'RANGE'
  | 'HASH'
  | 'BASE64'
  | 'NOTE'
  | 'VKEY'
  | 'CHECKPOINT'
  | 'TILE_PATH'
  | 'TILE'
  | 'ENTRY_BUNDLE'
  | 'TLOG_PROOF';

/** Thrown by parsers and formatters. `detail` names the hostile value, cut to 80 characters. */
export class LogFormatError extends Error {
  readonly code: LogFormatCode;
  readonly detail: string;

  constructor(code: LogFormatCode, detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'LogFormatError';
    this.code = code;
    this.detail = detail;
  }
}

/** A value as an error may show it: quoted, at most 80 characters. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
}
