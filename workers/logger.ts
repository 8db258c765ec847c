import { type Logger, pino } from 'pino';
import type { WorkerConfig } from './config.ts';

/** JSON lines on standard output, each with the process's name. Never metadata, references or secrets. */
export function createLogger(name: string, level: WorkerConfig['logLevel']): Logger {
  return pino({ name, level, redact: ['*.password', '*.authorization', '*.key', '*.secret'] });
}
