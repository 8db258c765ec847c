import { PDF_CLAIMS, type PdfVerificationResult } from '../pdf/pdf-verdict.ts';
import { CLAIMS, type ClaimResult, REASONS, type Verdict, type VerificationResult } from '../verdict.ts';

export interface PrintContext {
  readonly bundlePath: string;
  readonly filePath: string | undefined;
  /** Undefined: the bundle's own keys were used. */
  readonly trust: { readonly path: string; readonly instance: string } | undefined;
}

/** The result as a table of claims for people. Values of the bundle are shown with control characters taken out. */
export function formatResult(result: VerificationResult, context: PrintContext): string {
  const { subject, claims } = result;
  return formatPage(
    [
      ['Bundle', context.bundlePath],
      ['File', context.filePath],
      ['Proof', subject?.proof],
      ['Digest', subject && `${subject.digest.alg} ${subject.digest.value}`],
      ['Time', subject?.time],
      ['Certificate', subject?.certificateNumber],
      ['Trust', describeTrust(context.trust)],
      ['Ledger', result.consulted.ledger ? 'consulted' : 'not consulted (--mirror URL asks one)'],
    ],
    subject === undefined
      ? [`${REASONS['bundle-malformed']} ${claims.seal.detail ?? ''}`]
      : formatClaims([
          ...CLAIMS.map((claim) => [claim, claims[claim]] as const),
          ...Object.entries(result.disclosure ?? {}),
        ]),
    result.overall,
  );
}

/** The same of a certificate PDF; `context.bundlePath` names the PDF. A bundle beside it follows as a page of its own. */
export function formatPdfResult(
  result: PdfVerificationResult,
  context: PrintContext & { readonly besidePath: string | undefined },
): string {
  const { subject, claims } = result;
  const page = formatPage(
    [
      ['PDF', context.bundlePath],
      ['File', context.filePath],
      ['Proof', subject?.proof],
      ['Digest', subject && `${subject.digest.alg} ${subject.digest.value}`],
      ['Signed', subject?.time],
      ['Certificate', subject?.certificateNumber],
      ['Level', result.level && `PAdES ${result.level}`],
      ['Trust', describeTrust(context.trust)],
    ],
    formatClaims(PDF_CLAIMS.map((claim) => [claim, claims[claim]] as const)),
    result.overall,
  );
  const { bundle } = result;
  if (bundle === undefined || context.besidePath === undefined) return page;
  return `${page}\n${formatResult(bundle, { ...context, bundlePath: context.besidePath })}`;
}

function formatPage(
  head: readonly (readonly [string, string | undefined])[],
  body: readonly string[],
  overall: Verdict,
): string {
  const lines = [
    ...head.flatMap(([name, value]) => (value === undefined ? [] : [`${name.padEnd(11)}  ${value}`])),
    '',
    ...body,
    '',
    `Overall: ${overall}`,
  ];
  return `${lines.map(plain).join('\n')}\n`;
}

function formatClaims(claims: readonly (readonly [string, ClaimResult])[]): string[] {
  const width = Math.max(...claims.map(([, { verdict }]) => verdict.length));
  return claims.flatMap(([claim, { verdict, reason, detail }]) => [
    `  ${claim.padEnd(11)}  ${verdict.padEnd(width)}  ${REASONS[reason]}`,
    ...(detail === undefined ? [] : [`${' '.repeat(15 + width + 2)}${detail}`]),
  ]);
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
