interface BundleLike {
  readonly statement: { readonly digest: { readonly alg: string; readonly value: string } };
}

/** The bundle's text with the last digit of the statement's digest replaced: what a forger would want to pass. */
export function withOtherDigest(bundleText: string): string {
  const bundle = JSON.parse(bundleText) as BundleLike;
  const { value } = bundle.statement.digest;
  const forged = `${value.slice(0, -1)}${value.endsWith('0') ? '1' : '0'}`;
  return JSON.stringify({
    ...bundle,
    statement: { ...bundle.statement, digest: { ...bundle.statement.digest, value: forged } },
  });
}
