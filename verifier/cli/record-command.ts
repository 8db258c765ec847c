import { BUNDLE_MAX_LENGTH } from '../../domain/bundle-parse.ts';
import { utf8 } from '../../domain/bytes.ts';
import { MAX_EVIDENCE_RECORD } from '../../domain/evidence-record/record.ts';
import { verifyRecord } from '../evidence-record.ts';
import { readArguments, WrongCall } from './arguments.ts';
import { readBounded } from './files.ts';
import { readTrustFile } from './trust-file.ts';

export const RECORD_USAGE = `  proofline verify-record RECORD BUNDLE [--json] [--trust FILE]
      judges an RFC 4998 evidence record (.ers) over the bundle's checkpoint or statement; opens no socket`;

const OPTIONS = { json: { type: 'boolean', default: false }, trust: { type: 'string' } } as const;

/** Returns the exit code: 0 only for `valid`. Throws WrongCall, or Error on an input that cannot be read. */
export async function runVerifyRecord(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [recordPath, bundlePath, ...more] = positionals;
  if (recordPath === undefined || bundlePath === undefined || more.length > 0)
    throw new WrongCall('a record and a bundle are expected');
  const trustFile = await readTrustFile(values.trust);
  if (trustFile === undefined) throw new WrongCall('without a trust file nobody vouches for the tokens: --trust FILE');
  const result = await verifyRecord(
    await readBounded(recordPath, MAX_EVIDENCE_RECORD),
    utf8.decode(await readBounded(bundlePath, 3 * BUNDLE_MAX_LENGTH)),
    { trust: trustFile.trust, nowMs: Date.now() },
  );
  const lines = Object.entries(result).map(([name, value]) => `${name.padEnd(16)}${value}`);
  process.stdout.write(values.json ? `${JSON.stringify(result, undefined, 2)}\n` : `${lines.join('\n')}\n`);
  return result.verdict === 'valid' ? 0 : 1;
}
