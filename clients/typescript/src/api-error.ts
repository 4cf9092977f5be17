/** The error of an HTTP request. */

/** An error response, or no response at all. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** The status of the response; 0 if there was none. */
  readonly status: number;
  /** The seconds to wait before the next attempt, if the service sent them (429). */
  readonly retryAfter: number | null;

  constructor(status: number, message: string, retryAfter: number | null = null, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.status = status;
    this.retryAfter = retryAfter;
  }
}
