import { freePort } from './ports.ts';

/** Every port of the local system with its default; PROOFLINE_PORT_BASE is added to each. All on loopback. */
export const DEFAULT_PORTS = {
  api: 8080,
  metrics: 9464,
  relayMetrics: 9465,
  apiMetrics: 9466,
  postgres: 5442,
  temporal: 7233,
  temporalUi: 8233,
  signer: 8543,
  tsa: 8318,
  tsaSecond: 8319,
  crl: 8320,
  hederaMirror: 5551,
} as const;

export type PortName = keyof typeof DEFAULT_PORTS;
export type StackPorts = Readonly<Record<PortName, number>>;

/** Where pools beyond the first have their metrics when each is a process of its own. */
const SPLIT_METRICS_FROM = 9471;

/** The default ports, shifted; or with `any`, free ones. */
export async function choosePorts(base: number | 'any'): Promise<StackPorts> {
  const entries: [PortName, number][] = [];
  for (const [name, port] of Object.entries(DEFAULT_PORTS) as [PortName, number][]) {
    entries.push([name, base === 'any' ? await freePort() : port + base]);
  }
  return Object.fromEntries(entries) as Record<PortName, number>;
}

/** Where `count` pools beyond the first have their metrics: shifted, or with `any`, free ports. */
export async function choosePoolPorts(base: number | 'any', count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  for (let i = 0; i < count; i++) ports.push(base === 'any' ? await freePort() : SPLIT_METRICS_FROM + base + i);
  return ports;
}
