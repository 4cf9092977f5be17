/** Who is signed in, and what happens when the session ends. */

import { ApiError, api, type Identity, onUnauthorized, reasonOf } from './api';

export type SessionState = 'asking' | 'in' | 'out' | 'unreachable';

interface Session {
  state: SessionState;
  user: Identity | null;
  /** It ended while the page was open: what was shown stays, and goes on after signing in. */
  expired: boolean;
  /** Rises with each sign-in: streams that ended with the session begin again. */
  number: number;
  reason: string;
}

export const session: Session = $state({
  state: 'asking',
  user: null,
  expired: false,
  number: 0,
  reason: '',
});

onUnauthorized.call = () => {
  if (session.state === 'in') ended();
};

/** Find out who is signed in. */
export async function ask(): Promise<void> {
  session.state = 'asking';
  try {
    entered(await api.me());
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
      session.state = 'out';
    } else {
      session.state = 'unreachable';
      session.reason = reasonOf(error);
    }
  }
}

export async function signIn(email: string, password: string): Promise<void> {
  entered(await api.login(email, password));
}

export async function signOut(): Promise<void> {
  try {
    await api.logout();
  } finally {
    session.state = 'out';
    session.user = null;
    session.expired = false;
  }
}

/** The service says that the session is over. */
export function ended(): void {
  session.state = 'out';
  session.expired = true;
}

function entered(user: Identity): void {
  // Somebody else must not see what the one before had open.
  if (session.expired && session.user?.email !== user.email) session.user = null;
  session.user = user;
  session.state = 'in';
  session.expired = false;
  session.number += 1;
}
