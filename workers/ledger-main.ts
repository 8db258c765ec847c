/**
 * `npm run ledger -- VERB`: what a person does to the ledger's setup. `check` looks; `create-topic` and
 * `rotate-submit-key` are the key ceremony, with the admin key from files that no worker has. Exit: 0 good, 1 not, 2 wrong call.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { checkSetup } from '../activities/ledger/check-setup.ts';
import { resolveAtSigner } from '../activities/ledger/key-resolver.ts';
import { LEDGER_DEFAULTS, type LedgerConfig, parseLedgerConfig } from '../activities/ledger/ledger-config.ts';
import { createMirrorTransport } from '../activities/ledger/mirror-client.ts';
import { createTopic, rotateSubmitKey, type TopicAdmin } from '../activities/ledger/topic-admin.ts';
import { createSignerClient } from '../activities/sealing/signer-client.ts';
import { systemClock } from '../domain/clock.ts';
import { describeNetwork } from '../domain/ledger/describe-ledger.ts';
import { parseLedgerToolConfig } from './config.ts';

const USAGE = `Usage: npm run ledger -- VERB
  check                                       are topic, keys, account and network what the ledger file says
  create-topic --payer 0.0.N --payer-key FILE --admin-key FILE… --threshold N [--memo TEXT]
  rotate-submit-key --phase overlap|finish --to signer://KID@VERSION --payer 0.0.N --payer-key FILE --admin-key FILE…
Key files are PKCS #8 PEM, Ed25519. Environment: PROOFLINE_LEDGER_FILE, PROOFLINE_SIGNER_URL, _CA_FILE, _CERT_FILE, _KEY_FILE.`;

class WrongCall extends Error {}

const OPTIONS = {
  payer: { type: 'string' },
  'payer-key': { type: 'string' },
  'admin-key': { type: 'string', multiple: true, default: [] as string[] },
  threshold: { type: 'string' },
  memo: { type: 'string', default: 'Proofline checkpoints' },
  phase: { type: 'string' },
  to: { type: 'string' },
} as const;

type Values = ReturnType<typeof read>['values'];

function read(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    throw new WrongCall(error instanceof Error ? error.message : 'wrong arguments');
  }
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = read(args);
  const [verb, ...more] = positionals;
  if (verb === undefined || more.length > 0) throw new WrongCall('one verb is expected');
  const settings = parseLedgerToolConfig(process.env);
  const config = parseLedgerConfig(await readFile(settings.ledgerFile, 'utf8'));
  const signer = createSignerClient({
    url: settings.signerUrl,
    caFile: settings.signerCaFile,
    certFile: settings.signerCertFile,
    keyFile: settings.signerKeyFile,
    clock: systemClock(),
  });
  const keys = resolveAtSigner(signer);
  const transport = createMirrorTransport(config.mirrorTimeoutMs ?? LEDGER_DEFAULTS.mirrorTimeoutMs);
  const mirrors = config.mirrors.map(transport.mirror);
  try {
    switch (verb) {
      case 'check': {
        const { state, faults, open } = await checkSetup({ config, keys, mirrors });
        for (const line of faults) print(`fault: ${line}`);
        for (const line of open) print(`not asked: ${line}`);
        print(`${state}: ${describeNetwork(config.network)}, topic ${config.topicId}`);
        return state === 'ok' ? 0 : 1;
      }
      case 'create-topic': {
        const submit = await keys.resolve(submitRef(config));
        const threshold = Number(values.threshold ?? values['admin-key'].length);
        const admin = { ...(await readAdmin(values)), threshold, memo: values.memo };
        print(`topicId: ${await createTopic(config, admin, submit.publicKey)}`);
        return 0;
      }
      case 'rotate-submit-key': {
        const [mirror] = mirrors;
        const { phase, to } = values;
        if ((phase !== 'overlap' && phase !== 'finish') || to === undefined || mirror === undefined)
          throw new WrongCall('--phase overlap|finish and --to are needed');
        const admin = await readAdmin(values);
        const [from, next] = [await keys.resolve(submitRef(config)), await keys.resolve(to)];
        const outcome = await rotateSubmitKey({ config, mirror, admin, from, to: next, phase });
        print(`${phase}: ${outcome}; ${next.keyRef}`);
        return 0;
      }
      default:
        throw new WrongCall(`no verb ${verb}`);
    }
  } finally {
    transport.close();
    await signer.close();
  }
}

const submitRef = (config: LedgerConfig): string => config.submitKeyRef ?? config.payerKeyRef;

async function readAdmin(values: Values): Promise<TopicAdmin> {
  const { payer, 'payer-key': payerKey, 'admin-key': adminKeys } = values;
  if (payer === undefined || payerKey === undefined || adminKeys.length === 0)
    throw new WrongCall('--payer, --payer-key and --admin-key are needed');
  return {
    accountId: payer,
    accountKey: await readFile(payerKey, 'utf8'),
    adminKeys: await Promise.all(adminKeys.map((file) => readFile(file, 'utf8'))),
  };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const isWrongCall = error instanceof WrongCall;
  process.stderr.write(
    `ledger: ${error instanceof Error ? error.message : String(error)}\n${isWrongCall ? `\n${USAGE}\n` : ''}`,
  );
  process.exitCode = isWrongCall ? 2 : 1;
}
