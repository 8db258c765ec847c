/** What the load generator is asked, and what it answers: one JSON each, over its argument and its standard output. */

export type Job =
  /** Closed loop of submissions of one proof: the next once the last is accepted. */
  | (ClosedLoop & { readonly kind: 'accept' })
  /** Closed loop of proofs: the next once the last is certified, waited for with `?wait`. */
  | (ClosedLoop & { readonly kind: 'certify' })
  /** Open loop: one proof each 1/rate second, whatever the answers do; each timed until a checkpoint covers its leaf. */
  | {
      readonly kind: 'receipts';
      readonly url: string;
      readonly apiKey: string;
      readonly rate: number;
      readonly seconds: number;
      readonly postgresUrl: string;
    }
  /** Submissions of many proofs, `atOnce` in flight, until all are certified. */
  | {
      readonly kind: 'bulk';
      readonly url: string;
      readonly apiKey: string;
      readonly submissions: number;
      readonly proofsEach: number;
      readonly atOnce: number;
    };

interface ClosedLoop {
  readonly url: string;
  readonly path: string;
  readonly apiKey: string;
  readonly concurrency: number;
  /** Not counted. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface JobResult {
  /** What ended within the measured time. */
  readonly done: number;
  readonly seconds: number;
  readonly latenciesMs: readonly number[];
  /** Answers other than expected, by status. Empty in a good run. */
  readonly failures: Readonly<Record<string, number>>;
  /** Of the load generator itself. */
  readonly cpuSeconds: number;
  /** Ids to look into afterwards: the last proofs or submissions. */
  readonly sample: readonly string[];
}
