/** The commands of `npm run keys`: read from arguments, run, told in lines. */
import { parseArgs } from 'node:util';
import type { Admin, DescribedKey } from './admin-client.ts';

export const USAGE = `npm run keys -- list [kid]
npm run keys -- rotate <kid> [--announce 15s] [--overlap 1h]
    The next version is shown at once, signs after the announcement, and the one before signs on for the overlap.
npm run keys -- retire <kid>@<version>
    It signs no more; what it signed stays good.
npm run keys -- mark-compromised <kid>@<version> --at 2026-11-23T08:00:00Z
    What no timestamp shows to be older than that is worth nothing; the renewal of evidence starts.`;

export type KeysCommand =
  | { readonly verb: 'list'; readonly kid: string | undefined }
  | { readonly verb: 'rotate'; readonly kid: string; readonly announceMs: number; readonly overlapMs: number }
  | { readonly verb: 'retire'; readonly kid: string; readonly version: number }
  | { readonly verb: 'mark-compromised'; readonly kid: string; readonly version: number; readonly at: string };

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z$/;

/** Throws Error that says what is wrong. */
export function parseKeysCommand(args: readonly string[]): KeysCommand {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { announce: text, overlap: text, at: text },
    allowPositionals: true,
    strict: true,
  });
  const [verb, subject, ...rest] = positionals;
  if (rest.length > 0) throw new Error(`what is ${rest[0]}?\n\n${USAGE}`);
  const given = Object.keys(values);
  const takes = (names: readonly string[]): void => {
    const other = given.find((name) => !names.includes(name));
    if (other !== undefined) throw new Error(`${verb} takes no --${other}\n\n${USAGE}`);
  };
  switch (verb) {
    case 'list':
      takes([]);
      return { verb, kid: subject };
    case 'rotate':
      takes(['announce', 'overlap']);
      if (subject === undefined) throw new Error(`which key?\n\n${USAGE}`);
      return {
        verb,
        kid: subject,
        announceMs: readPeriod(values.announce ?? '15s'),
        overlapMs: readPeriod(values.overlap ?? '1h'),
      };
    case 'retire':
      takes([]);
      return { verb, ...readVersion(subject) };
    case 'mark-compromised':
      takes(['at']);
      if (values.at === undefined || !INSTANT.test(values.at))
        throw new Error('--at is the first moment at which somebody else may have signed, e.g. 2026-11-23T08:00:00Z');
      return { verb, ...readVersion(subject), at: values.at };
    default:
      throw new Error(`there is no ${verb}\n\n${USAGE}`);
  }
}

/** Runs the command; returns the lines to print. */
export async function runKeysCommand(command: KeysCommand, admin: Admin): Promise<string> {
  switch (command.verb) {
    case 'list':
      return formatKeys(command.kid === undefined ? await admin.keys() : [await admin.key(command.kid)]);
    case 'rotate': {
      const { kid, announceMs, overlapMs } = command;
      const after = (await admin.key(kid)).versions.at(-1)?.version;
      if (after === undefined) throw new Error(`${kid} has no version`);
      return formatKeys([await admin.rotate(kid, { after, announceMs, overlapMs })]);
    }
    case 'retire': {
      const { kid, version } = command;
      return formatKeys([await admin.withdraw(kid, { version, state: 'verify-only' })]);
    }
    case 'mark-compromised': {
      const { kid, version, at } = command;
      return formatKeys([await admin.withdraw(kid, { version, state: 'compromised', at })]);
    }
  }
}

function formatKeys(keys: readonly DescribedKey[]): string {
  const rows = [
    ['key', 'purpose', 'alg', 'state', 'signs from', 'until', 'compromised since'],
    ...keys.flatMap((key) =>
      key.versions.map((v) => [
        `${key.kid}@${v.version}${v.version === key.primaryVersion ? ' *' : ''}`,
        key.purpose,
        v.alg,
        v.state,
        v.activateAt,
        v.notSignAfter ?? '',
        v.compromisedAt ?? '',
      ]),
    ),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function readVersion(subject: string | undefined): { readonly kid: string; readonly version: number } {
  const match = /^([a-z0-9-]+)@([1-9][0-9]{0,8})$/.exec(subject ?? '');
  if (match?.[1] === undefined) throw new Error(`a version is named like seal@1\n\n${USAGE}`);
  return { kid: match[1], version: Number(match[2]) };
}

function readPeriod(text: string): number {
  const match = /^([0-9]{1,6})(s|m|h|d)$/.exec(text);
  if (match === null) throw new Error(`${text} is not a period like 15s, 5m, 1h or 2d`);
  return Number(match[1]) * (UNITS[match[2] ?? ''] ?? 0);
}
