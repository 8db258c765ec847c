import { SignerProblem } from './problem.ts';

/**
 * A fault of the signer as data, for tests and drills. `refused` and `unavailable` answer before anything is done,
 * `hang` never answers, `done-but-lost` does the work and drops the connection, `wrong-signature` spoils the last
 * signature of the answer (the one kept for a repeat stays good), `value-refused` names one value.
 */
export interface SignerFault {
  readonly at: 'sign' | 'sign-transaction' | 'keys' | 'log-memory';
  readonly effect: 'refused' | 'unavailable' | 'hang' | 'done-but-lost' | 'wrong-signature' | 'value-refused';
  /** Only for this key. */
  readonly kid?: string;
  /** Of `value-refused`; 0 unless told. */
  readonly index?: number;
  /** How often; without end unless told. */
  readonly times?: number;
}

export interface Faults {
  set(faults: readonly SignerFault[]): void;
  /** The fault that strikes this request, which is counted; problems among them are thrown. */
  strike(at: SignerFault['at'], kid: string | undefined): 'hang' | 'done-but-lost' | 'wrong-signature' | undefined;
}

export function createFaults(): Faults {
  let left: { readonly fault: SignerFault; times: number }[] = [];
  return {
    set(faults) {
      left = faults.map((fault) => ({ fault, times: fault.times ?? Number.POSITIVE_INFINITY }));
    },
    strike(at, kid) {
      const hit = left.find(
        ({ fault, times }) => times > 0 && fault.at === at && (fault.kid === undefined || fault.kid === kid),
      );
      if (hit === undefined) return undefined;
      hit.times--;
      const { effect, index = 0 } = hit.fault;
      switch (effect) {
        case 'refused':
          throw new SignerProblem('policy_denied', 'refused by a fault that was set');
        case 'unavailable':
          throw new SignerProblem('unavailable', 'unavailable by a fault that was set');
        case 'value-refused':
          throw new SignerProblem('value_refused', `value ${index} refused by a fault that was set`, { index });
        default:
          return effect;
      }
    },
  };
}

/** The answer with one bit of its last signature flipped. */
export function spoilLast(answer: Buffer): Buffer {
  const body = JSON.parse(answer.toString('utf8')) as { signatures: string[] };
  const last = Buffer.from(body.signatures.pop() ?? '', 'base64url');
  last[last.length - 1] = (last.at(-1) ?? 0) ^ 0x01;
  body.signatures.push(last.toString('base64url'));
  return Buffer.from(JSON.stringify(body));
}
