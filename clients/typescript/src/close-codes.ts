/** The meaning of close codes, and whether another attempt can help. */

import type { Reason, ReasonCode } from './types.ts';

interface Meaning {
  readonly code: ReasonCode;
  readonly message: string;
  readonly final: boolean;
}

const retried = (code: ReasonCode, message: string): Meaning => ({ code, message, final: false });
const final = (code: ReasonCode, message: string): Meaning => ({ code, message, final: true });

/** 1000 to 1015 are RFC 6455's and IANA's; 44xx are the service's, after HTTP's 4xx. */
const MEANINGS: Readonly<Record<number, Meaning>> = {
  1001: retried('restarting', 'The service is stopping'),
  1006: retried('network', 'The connection was lost'),
  1011: retried('unavailable', 'The service had an internal error'),
  1012: retried('restarting', 'The service is restarting'),
  1013: retried('unavailable', 'The service cannot serve this now'),
  1014: retried('unavailable', 'The proxy cannot reach the service'),
  4401: final('unauthorized', 'The session has expired'),
  4403: final('forbidden', 'Permission denied'),
  4404: final('not-found', 'Not found'),
  // HTTP's 408, 425 and 429 ask the client to retry, and so do the codes derived from them.
  4408: retried('unavailable', 'The service waited too long'),
  4409: final('not-running', 'The container is not running'),
  4410: final('unreadable', "The container's log cannot be read"),
  4425: retried('unavailable', 'The service cannot serve this yet'),
  4429: retried('unavailable', 'Too many requests'),
};

const UNKNOWN_REFUSAL = final('refused', 'The service refuses this stream');
const UNKNOWN = retried('network', 'The connection was closed');

/** Return the reason why a stream was closed; `said` is the service's own explanation, if any. */
export function explain(closeCode: number, said = ''): { reason: Reason; final: boolean } {
  const refused = closeCode >= 4400 && closeCode < 4500;
  const meaning = MEANINGS[closeCode] ?? (refused ? UNKNOWN_REFUSAL : UNKNOWN);
  const reason: Reason = { code: meaning.code, message: said || meaning.message, closeCode };
  return { reason, final: meaning.final };
}
