/**
 * In which lane a batch travels. `large`: one submission above `LONE_SUBMISSION`, alone. `crowd`: proofs of tenants that
 * send many at a time. `prompt`: everybody else's, to whom the others give way: whoever sends one proof shares neither
 * a batch nor a wait with a flood, of however small submissions it is made.
 */
export const LANES = ['prompt', 'crowd', 'large'] as const;
export type Lane = (typeof LANES)[number];

/** A submission with more proofs than this travels alone. The queue's generated column `is_large` says the same. */
export const LONE_SUBMISSION = 1_000;

/** A tenant with so many proofs that wait, or with so many in one batch of the last moments, is a crowd. */
export const CROWD = 16;
