/**
 * `npm run demo`: starts the whole system over a temporary folder, has a file and a thousand records certified, shows
 * the life of a proof, writes its evidence to `demo-output/`, verifies it offline, shows what tampering yields, and
 * stops. From a terminal it stays up half a minute for a look at the links. Exit code 1 if anything is not as it should be.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createDemoClient, type DemoClient, type ProofView } from './demo/demo-client.ts';
import { formatTimeline } from './demo/format-timeline.ts';
import { tamper } from './demo/tamper.ts';
import { createTeller, heading, statesInWords } from './demo/tell.ts';
import { type Stack, startStack } from './stack/start-stack.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const OUTPUT = join(ROOT, 'demo-output');
const SUBJECT = 'README.md';
const RECORDS = 1_000;
const FINAL = ['CERTIFIED', 'CERTIFIED_NO_ANCHOR', 'FAILED', 'REJECTED', 'CANCELLED'];
const CERTIFIED_WITHIN_MS = 180_000;
const LOOK_MS = 30_000;

const say = createTeller(Date.now());

async function main(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'proofline-demo-'));
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => (abort.signal.aborted ? process.exit(1) : abort.abort(new Error(`stopped by ${signal}`))));
  }
  heading('Starting Proofline: API, workers, relay, Postgres, Temporal, signer, timestamp authority, simulated ledger');
  let stack: Stack | undefined;
  try {
    stack = await startStack({
      dataDir,
      ports: 'any',
      signal: abort.signal,
      onProgress: say,
      onState: (name, state, detail) => {
        if (state === 'up' || state === 'down') say(`${name} is ${state}${detail === '' ? '' : ` (${detail})`}`);
      },
    });
    await Promise.race([demonstrate(stack), once(abort.signal, 'abort')]);
    abort.signal.throwIfAborted();
    if (process.stdin.isTTY) await look(abort.signal);
  } finally {
    heading('Stopping');
    await stack?.stop();
    await rm(dataDir, { recursive: true, force: true });
    say('stopped; no process is left');
  }
}

async function demonstrate(stack: Stack): Promise<void> {
  const { info } = stack;
  const client = createDemoClient(info);
  const file = await readFile(join(ROOT, SUBJECT));

  heading(`Submitting the digest of ${SUBJECT}, and ${RECORDS} digests of generated records`);
  const proof = await client.submit({ digest: digestOf(file), reference: SUBJECT });
  say(`proof ${proof.id} accepted: it is committed, all else happens behind it`);
  const bulk = await client.submitBulk(Array.from({ length: RECORDS }, (_, i) => newRecord(i)));
  say(`submission ${bulk.id} of ${RECORDS} records accepted`);
  const [certified] = await Promise.all([untilFinal(client, proof.id), untilRecordsFinal(client, bulk.id)]);

  heading(`The life of the proof of ${SUBJECT}: each step, how long it took, and how long since the first`);
  console.log(formatTimeline(await client.timeline(proof.id)));

  heading(`Evidence, in ${relative(process.cwd(), OUTPUT) || '.'}/`);
  await writeEvidence(stack, client, proof.id, file);

  heading('Verifying offline, as anybody can who has the file, the bundle and the trust file');
  await verify(['readme.bundle.json', 'README.md'], 0);
  heading('The same of the PDF: page, signature, timestamps and revocation lists are all inside');
  await verify(['readme.certificate.pdf'], 0);
  heading('The same evidence for a file in which one byte was changed');
  await verify(['readme.bundle.json', 'README.tampered.md'], 1);
  heading('A bundle in which one digit of the digest was changed');
  await verify(['tampered.bundle.json'], 1);

  await showLinks(stack, proof.id);
  if (certified.state !== 'CERTIFIED') throw new Error(`the proof is ${certified.state}, not CERTIFIED`);
}

async function untilFinal(client: DemoClient, id: string): Promise<ProofView> {
  const deadline = Date.now() + CERTIFIED_WITHIN_MS;
  for (let shown = ''; ; ) {
    const proof = await client.read(id);
    if (proof.state !== shown) say(`${SUBJECT}: ${proof.state}`);
    shown = proof.state;
    if (FINAL.includes(proof.state)) return proof;
    if (Date.now() > deadline) throw new Error(`the proof is not certified within ${CERTIFIED_WITHIN_MS / 1000} s`);
    await client.pause();
  }
}

async function untilRecordsFinal(client: DemoClient, submission: string): Promise<void> {
  let last: Readonly<Record<string, number>> = {};
  const late = delay(CERTIFIED_WITHIN_MS, undefined, { ref: false }).then(() => {
    throw new Error(`the records are not certified within ${CERTIFIED_WITHIN_MS / 1000} s: ${statesInWords(last)}`);
  });
  const followed = client.followBulk(submission, (states) => {
    last = states;
    say(`records: ${statesInWords(states)}`);
  });
  await Promise.race([followed, late]);
  if (last.CERTIFIED !== RECORDS) throw new Error(`not every record is CERTIFIED: ${statesInWords(last)}`);
}

async function writeEvidence(stack: Stack, client: DemoClient, proofId: string, file: Uint8Array): Promise<void> {
  await mkdir(OUTPUT, { recursive: true });
  const bundle = await client.text(`/v1/proofs/${proofId}/bundle`);
  const tampered = Uint8Array.from(file);
  tampered[0] = (tampered[0] ?? 0) ^ 1;
  const files: Readonly<Record<string, readonly [content: string | Uint8Array, what: string]>> = {
    'readme.bundle.json': [bundle, 'everything needed to verify the proof'],
    'readme.certificate.json': [await client.text(`/v1/proofs/${proofId}/certificate`), 'the certificate, signed'],
    'readme.certificate.pdf': [await client.pdf(proofId), 'the certificate as a page, signed PAdES B-LT'],
    'readme.receipt.txt': [
      await client.text(`/v1/proofs/${proofId}/receipt`),
      'its place in the log (C2SP tlog-proof)',
    ],
    'trust.json': [
      await readFile(join(stack.dataDir, 'trust.json')),
      "the instance's published keys: whom a verifier believes",
    ],
    'README.md': [file, 'the file itself; it never left this machine'],
    'README.tampered.md': [tampered, 'a copy with one byte changed'],
    'tampered.bundle.json': [tamper(bundle), 'a copy of the bundle for another digest'],
  };
  for (const [name, [content, what]] of Object.entries(files)) {
    await writeFile(join(OUTPUT, name), content);
    console.log(`  ${name.padEnd(24)} ${what}`);
  }
}

/** Runs the verifier as people do; throws if its verdict is not the expected one. */
async function verify(args: readonly string[], expectedCode: number): Promise<void> {
  const all = ['verify', ...args, '--offline', '--trust', 'trust.json'];
  console.log(`$ npx proofline ${all.join(' ')}`);
  const child = spawn(process.execPath, [join(ROOT, 'verifier/proofline.mjs'), ...all], {
    cwd: OUTPUT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== expectedCode) throw new Error(`the verifier ended with ${code}, expected ${expectedCode}`);
}

async function showLinks(stack: Stack, proofId: string): Promise<void> {
  const { info } = stack;
  const { operations } = await createDemoClient(info).read(proofId, 'operator');
  const bundle = JSON.parse(await readFile(join(OUTPUT, 'readme.bundle.json'), 'utf8')) as {
    anchors: { topicId: string; sequenceNumber: string }[];
  };
  heading('Links, while it runs');
  console.log(`  API documentation   ${info.apiUrl}/docs`);
  console.log(`  Batch in Temporal   ${operations?.workflowUrl ?? info.temporalUiUrl}`);
  for (const { topicId, sequenceNumber } of bundle.anchors) {
    console.log(`  Ledger record       ${info.hederaMirrorUrl}/api/v1/topics/${topicId}/messages/${sequenceNumber}`);
  }
}

async function look(signal: AbortSignal): Promise<void> {
  console.log(
    `\nIt stays up for ${LOOK_MS / 1000} s; Enter stops it now. \`npm start\` keeps a system up, with its data.`,
  );
  const entered = once(process.stdin, 'data');
  await Promise.race([entered, delay(LOOK_MS, undefined, { signal, ref: false }), once(signal, 'abort')]).catch(
    () => {},
  );
  process.stdin.destroy();
}

function newRecord(i: number): { digest: { alg: string; value: string }; reference: string } {
  return { digest: digestOf(JSON.stringify({ record: i, amount: (i * 7919) % 10_000 })), reference: `record-${i}` };
}

function digestOf(content: string | Uint8Array): { alg: string; value: string } {
  return { alg: 'sha-256', value: createHash('sha256').update(content).digest('hex') };
}

main().then(
  () => process.exit(0),
  (fault: unknown) => {
    console.error(`\n${fault instanceof Error ? fault.message : fault}`);
    process.exit(1);
  },
);
