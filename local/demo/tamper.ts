/** The bundle's text with the last digit of the statement's digest replaced: what a forger would want to pass. */
export function tamper(bundleText: string): string {
  const { statement } = JSON.parse(bundleText) as { statement: { digest: { value: string } } };
  const { value } = statement.digest;
  return bundleText.replace(value, `${value.slice(0, -1)}${value.endsWith('0') ? '1' : '0'}`);
}
