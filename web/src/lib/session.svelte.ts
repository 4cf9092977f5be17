/** The signed-in user, and the end of the session. */

import { ApiError, api, type Identity, onUnauthorized, reasonOf } from './api';

export type SessionState = 'asking' | 'in' | 'out' | 'unreachable';

interface Session {
  state: SessionState;
  user: Identity | null;
  /** True if the session ended while the page was open; the views continue after a new sign-in. */
  expired: boolean;
  /** True after a sign-in with a one-time password, which has to be replaced first. */
  replacing: boolean;
  /** Increases with each sign-in, so that streams that ended with the session restart. */
  number: number;
  reason: string;
}

export const session: Session = $state({
  state: 'asking',
  user: null,
  expired: false,
  replacing: false,
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

/** Replace the user's password, and go on with the new session. */
export async function changePassword(old: string, next: string): Promise<void> {
  try {
    entered(await api.changePassword(old, next));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) session.replacing = false;
    throw error;
  }
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

/** Handle a response that says that the session has ended. */
export function ended(): void {
  session.state = 'out';
  session.expired = true;
}

function entered(user: Identity): void {
  session.replacing = user.must_change_password;
  if (session.replacing) {
    session.state = 'out';
    return;
  }
  // Another user must not see the previous user's views.
  if (session.expired && session.user?.email !== user.email) session.user = null;
  session.user = user;
  session.state = 'in';
  session.expired = false;
  session.number += 1;
}
