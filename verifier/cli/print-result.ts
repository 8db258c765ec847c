import { CLAIMS, type ClaimResult, REASONS, type VerificationResult } from '../verdict.ts';

export interface PrintContext {
  readonly bundlePath: string;
  readonly filePath: string | undefined;
  /** Undefined: the bundle's own keys were used. */
  readonly trust: { readonly path: string; readonly instance: string } | undefined;
}

/** The result as a table of claims for people. Values of the bundle are shown with control characters taken out. */
export function formatResult(result: VerificationResult, context: PrintContext): string {
  const { subject, claims } = result;
  const head: (readonly [string, string | undefined])[] = [
    ['Bundle', context.bundlePath],
    ['File', context.filePath],
    ['Proof', subject?.proof],
    ['Digest', subject && `${subject.digest.alg} ${subject.digest.value}`],
    ['Time', subject?.time],
    ['Certificate', subject?.certificateNumber],
    ['Trust', describeTrust(context.trust)],
    ['Ledger', result.consulted.ledger ? 'consulted' : 'not consulted (--mirror URL asks one)'],
  ];
  const rows = [
    ...CLAIMS.map((claim) => [claim, claims[claim]] as const),
    ...Object.entries(result.disclosure ?? {}),
  ].map(
    ([name, { verdict, reason, detail }]: readonly [string, ClaimResult]) =>
      [name, verdict, REASONS[reason], detail] as const,
  );
  const width = Math.max(...rows.map(([, verdict]) => verdict.length));
  const table = rows.flatMap(([claim, verdict, reason, detail]) => [
    `  ${claim.padEnd(11)}  ${verdict.padEnd(width)}  ${reason}`,
    ...(detail === undefined ? [] : [`${' '.repeat(15 + width + 2)}${detail}`]),
  ]);
  const lines = [
    ...head.flatMap(([name, value]) => (value === undefined ? [] : [`${name.padEnd(11)}  ${value}`])),
    '',
    ...(subject === undefined ? [`${REASONS['bundle-malformed']} ${claims.seal.detail ?? ''}`] : table),
    '',
    `Overall: ${result.overall}`,
  ];
  return `${lines.map(plain).join('\n')}\n`;
}

function describeTrust(trust: PrintContext['trust']): string {
  return trust === undefined
    ? "none: the bundle's own keys speak for themselves, so nothing can be valid (--trust FILE pins an instance)"
    : `${trust.path} (instance ${trust.instance})`;
}

/** A hostile bundle must not steer the reader's terminal. */
function plain(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
}
