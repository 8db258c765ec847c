/** Jest's global tear-down: ends what start-servers.ts started and removes its data. */
export default async function stopServers(): Promise<void> {
  await (globalThis as { stopTestServers?: () => Promise<void> }).stopTestServers?.();
}
