/** The licence issuer's tool: `npm run license -- <command>`. Keys stay in files; a grant goes to standard output. */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { systemClock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { grantHash, parseGrantFile } from '../../domain/licence/grant.ts';
import { instanceFingerprint, issueGrant, issueRevocationList, parseIssuerKey } from '../../domain/licence/issuers.ts';
import { parseRevocationList, REVOCATION_LIST_TYP } from '../../domain/licence/revocation-list.ts';
import { fileWithin, typeOfFile } from '../../domain/licence/signed-file.ts';
import { parseIssueArguments, parseListArguments } from './parse-arguments.ts';

const USAGE = `npm run license -- <command>

  keygen --kid ID --out FILE        makes an issuer key (private JWK, mode 600) and prints its public JWKS
  jwks --key FILE                   prints the public JWKS of a key: PROOFLINE_LICENSE_ISSUERS_FILE
  fingerprint --instance ID         prints the fingerprint that grants for this instance name
  show FILE                         prints what a file says and its hash, without checking the signature
  issue --key FILE --tenant ID …    prints a signed grant
    --kind BASE|ADDENDUM|REVOCATION|TRANSFER   (BASE)
    --quota N                                  units of one period
    --term MONTHLY|ANNUAL|MULTI_YEAR|PERPETUAL (PERPETUAL)   --count N   periods, or years of MULTI_YEAR
    --anchor 2026-01-31   --zone Europe/Paris  first day of the term (today, UTC)
    --rollover N                               units that may pass on to the next period (0)
    --allocation UNIT=LIMIT   --entitlement NAME   each repeatable
    --not-before, --not-after INSTANT          RFC 3339 UTC (now; none)
    --seq N --previous HASH                    place in the tenant's chain (1; the hash of the file before)
    --instance ID | --fingerprint HEX          (the instance of .proofline/trust.json)
    --addendum-of ID   --revokes ID   --id ID
  issue-list --key FILE --number N  prints a signed revocation list: all that is revoked, whenever it was
    --revoke GRANT[=INSTANT]                   repeatable; from when (now)
    --next-update INSTANT                      when the next list is due (in 30 days)
    --issued-at INSTANT (now)   --instance ID | --fingerprint HEX
`;
const TRUST_FILE = '.proofline/trust.json';

async function run([command, ...args]: readonly string[]): Promise<string> {
  switch (command) {
    case 'keygen':
      return keygen(args);
    case 'jwks':
      return publicSet(parseIssuerKey(readFileSync(option(args, 'key'), 'utf8')));
    case 'fingerprint':
      return instanceFingerprint(option(args, 'instance'));
    case 'show': {
      const file = fileWithin(readFileSync(args[0] ?? '', 'utf8'));
      const isList = typeOfFile(file) === REVOCATION_LIST_TYP;
      const payload = isList ? parseRevocationList(file).payload : parseGrantFile(file).grant;
      return JSON.stringify({ hash: grantHash(file), ...payload }, undefined, 2);
    }
    case 'issue': {
      const { grant, keyFile } = parseIssueArguments(args, { ...fallbacks(), grantId: `grant-${randomUUID()}` });
      return issueGrant(grant, parseIssuerKey(readFileSync(keyFile, 'utf8')));
    }
    case 'issue-list': {
      const { list, keyFile } = parseListArguments(args, fallbacks());
      return issueRevocationList(list, parseIssuerKey(readFileSync(keyFile, 'utf8')));
    }
    default:
      throw new ProoflineError('CONFIG_INVALID', `a command is expected\n\n${USAGE}`);
  }
}

function keygen(args: readonly string[]): string {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const key = JSON.stringify({ kid: option(args, 'kid'), alg: 'EdDSA', use: 'sig', ...jwk });
  const issuer = parseIssuerKey(key);
  // An existing key is never overwritten: what it signed could not be renewed.
  writeFileSync(option(args, 'out'), `${key}\n`, { mode: 0o600, flag: 'wx' });
  return publicSet(issuer);
}

function publicSet({ kid, jwk }: ReturnType<typeof parseIssuerKey>): string {
  const { d: _, ...half } = jwk;
  return JSON.stringify({ keys: [{ kid, alg: 'EdDSA', use: 'sig', ...half }] }, undefined, 2);
}

function fallbacks(): { readonly now: string; readonly instance?: string } {
  const instance = instanceOfThisMachine();
  return { now: systemClock().nowMicros(), ...(instance !== undefined && { instance }) };
}

function instanceOfThisMachine(): string | undefined {
  if (!existsSync(TRUST_FILE)) return undefined;
  return (JSON.parse(readFileSync(TRUST_FILE, 'utf8')) as { instance?: string }).instance;
}

function option(args: readonly string[], name: 'key' | 'out' | 'kid' | 'instance'): string {
  const type = { type: 'string' } as const;
  const options = { key: type, out: type, kid: type, instance: type };
  const value = parseArgs({ args: [...args], options, strict: true }).values[name];
  if (value === undefined) throw new ProoflineError('CONFIG_INVALID', `"--${name}" is missing`);
  return value;
}

run(process.argv.slice(2)).then(
  (text) => process.stdout.write(`${text}\n`),
  (error: Error) => {
    process.stderr.write(`${error instanceof ProoflineError ? error.detail : error.message}\n`);
    process.exitCode = 2;
  },
);
