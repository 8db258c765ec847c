/** The settings of the API process, read from the environment once. Every fault is listed; nothing is defaulted that is secret. */
import {
  optional,
  parseSettings,
  readInteger,
  readOneOf,
  readText,
  readUrl,
  required,
  type Settings,
} from '../domain/settings.ts';

const SCHEMA = {
  logLevel: optional('PROOFLINE_LOG_LEVEL', readOneOf('trace', 'debug', 'info', 'warn', 'error', 'silent'), 'info'),
  host: optional('PROOFLINE_HOST', readText, '127.0.0.1'),
  port: optional('PROOFLINE_API_PORT', readInteger(0, 65_535), 8080),
  /** Health and metrics; 0 lets the system choose. */
  metricsPort: optional('PROOFLINE_METRICS_PORT', readInteger(0, 65_535), 9464),
  publicUrl: required('PROOFLINE_PUBLIC_URL', readUrl('http:', 'https:')),
  origin: required('PROOFLINE_ORIGIN', readText),
  dbApiUrl: required('PROOFLINE_DB_API_URL', readUrl('postgres:', 'postgresql:')),
  dbIntakeUrl: required('PROOFLINE_DB_INTAKE_URL', readUrl('postgres:', 'postgresql:')),
  temporalUiUrl: optional(
    'PROOFLINE_TEMPORAL_UI_URL',
    readUrl('http:', 'https:') as (text: string) => string | undefined,
    undefined,
  ),
  temporalNamespace: optional('PROOFLINE_TEMPORAL_NAMESPACE', readText, 'default'),
};

export type ApiConfig = Settings<typeof SCHEMA>;

/** Throws CONFIG_INVALID. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): ApiConfig {
  return parseSettings(SCHEMA, environment);
}
