/** Units that one grant may hold a period: far above any use, far below where sums of grants lose exactness. */
export const MAX_QUOTA = 1_000_000_000_000;
