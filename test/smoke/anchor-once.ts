/** One checkpoint through the adapters of production, judged by the verifier as a stranger would. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Confirmation, Receipt, ReceiptOutcome } from '../../activities/ledger/anchor-ledger.ts';
import { type ContractConfirmation, createContractLedger } from '../../activities/ledger/contract-ledger.ts';
import { createHederaLedger } from '../../activities/ledger/hedera-ledger.ts';
import type { KeyResolver } from '../../activities/ledger/key-resolver.ts';
import type { LedgerConfig } from '../../activities/ledger/ledger-config.ts';
import type { AnchorEntry } from '../../domain/bundle.ts';
import { systemClock } from '../../domain/clock.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { openMirror } from '../../verifier/http-mirror.ts';
import { askMirrors, type MirrorAnswer } from '../../verifier/mirror.ts';

export interface SmokeResult {
  readonly entry: AnchorEntry;
  /** What the verifier says of the entry, asking every mirror of the ledger file. */
  readonly answer: MirrorAnswer;
  readonly transactionId: string;
}

export interface SmokeOptions {
  readonly config: LedgerConfig;
  readonly keys: KeyResolver;
  /** Mirrors follow consensus by some seconds. */
  readonly withinMs: number;
  readonly pauseMs: number;
}

/** Writes one message of a random root, and waits until the mirrors agree. Costs one fee. */
export async function anchorOnTopic(options: SmokeOptions): Promise<SmokeResult> {
  const ledger = createHederaLedger({ ...options, clock: systemClock(), random: Math.random });
  try {
    const prepared = await ledger.prepare(newMessage());
    requireSent(await ledger.submit(prepared));
    const receipt = await untilConsensus(options, (round) => ledger.receipt(prepared, round));
    const entry = await untilVerified(options, () => ledger.confirm(prepared, receipt));
    return judge(options.config, entry, prepared.transactionId);
  } finally {
    ledger.close();
  }
}

/** The same in the registry contract of the ledger file. */
export async function anchorInContract(options: SmokeOptions): Promise<SmokeResult> {
  const { contract } = options.config;
  if (contract === undefined) throw new Error('the ledger file names no contract');
  const config = { ...options.config, contract };
  const ledger = createContractLedger({ ...options, config, clock: systemClock(), random: Math.random });
  try {
    const prepared = await ledger.prepare(newMessage());
    requireSent(await ledger.submit(prepared));
    await untilConsensus(options, (round) => ledger.receipt(prepared, round));
    const entry = await untilVerified(options, () => ledger.confirm(prepared));
    return judge(options.config, entry, prepared.transactionId);
  } finally {
    ledger.close();
  }
}

const newMessage = (): string => buildAnchorMessage({ origin: 'smoke.example', size: 1n, root: randomBytes(32) });

function requireSent({ kind, status }: { readonly kind: string; readonly status: string }): void {
  if (kind !== 'sent') throw new Error(`the network answers ${status}`);
}

async function untilConsensus(
  { withinMs, pauseMs }: SmokeOptions,
  ask: (round: number) => Promise<ReceiptOutcome>,
): Promise<Receipt> {
  for (let round = 0, deadline = Date.now() + withinMs; ; round++) {
    const outcome = await ask(round);
    if (outcome.kind === 'consensus') return outcome.receipt;
    if (outcome.kind !== 'pending') throw new Error(`the transaction ended ${outcome.status}`);
    if (Date.now() > deadline) throw new Error('no node has a receipt');
    await delay(pauseMs);
  }
}

async function untilVerified(
  { withinMs, pauseMs }: SmokeOptions,
  ask: () => Promise<Confirmation | ContractConfirmation>,
): Promise<AnchorEntry> {
  for (const deadline = Date.now() + withinMs; ; ) {
    const confirmation = await ask();
    if (confirmation.kind === 'verified') return confirmation.entry;
    if (confirmation.kind === 'suspect' || Date.now() > deadline) throw new Error(JSON.stringify(confirmation));
    await delay(pauseMs);
  }
}

async function judge(config: LedgerConfig, entry: AnchorEntry, transactionId: string): Promise<SmokeResult> {
  const answer = await askMirrors(
    entry,
    config.mirrors.map((url) => openMirror(url)),
    Date.now(),
  );
  return { entry, answer, transactionId };
}
