"""Accounts: ``/api/users``, only for admins."""

from __future__ import annotations

import falcon

from api.http.access import check_origin, require_admin, services
from api.http.bodies import RequestBody, read
from api.http.envelope import reply
from mist import validation
from mist.accounts import passwords
from mist.errors import Conflict, NotFound, UsageError
from mist.ids import parse_id
from mist.store import Role, Store, User


class NewUserBody(RequestBody, frozen=True):
    """The body of ``POST /api/users``; without a password the service makes one up."""

    email: str
    role: Role = "user"
    password: str | None = None


class UserChangesBody(RequestBody, frozen=True):
    """The body of ``PATCH /api/users/{id}``."""

    role: Role | None = None
    password: str | None = None


class UsersResource:
    """``/api/users``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the accounts."""
        require_admin(req)
        reply(resp, [_public(user) for user in services(req).store.users.all()])

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add an account."""
        check_origin(req)
        require_admin(req)
        body = read(req, NewUserBody)
        email, made_up = validation.email(body.email), body.password is None
        password = passwords.generate() if body.password is None else body.password
        hashed = passwords.make_hash(password if made_up else passwords.check(password, email))
        user = services(req).store.users.add(email, hashed, body.role, one_time=made_up)
        shown = {"one_time_password": password} if made_up else {}
        said = f"User added: {user.email} ({user.role})"
        reply(resp, _public(user) | shown, said, falcon.HTTP_201)


class UserResource:
    """``/api/users/{id}``."""

    def on_patch(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Change the role, or set a password and end the user's sessions."""
        check_origin(req)
        identity = require_admin(req)
        store, body = services(req).store, read(req, UserChangesBody)
        user = find(store, user_id)
        if body.role is None and body.password is None:
            raise UsageError("there is nothing to change; send role or password")
        if body.password is not None:
            # Otherwise a session that was left open could take the account over.
            if user.id == identity.user_id:
                raise Conflict("your own password is changed with POST /api/auth/password")
            passwords.check(body.password, user.email)
        if body.role is not None:
            store.users.set_role(user.id, body.role)
        if body.password is not None:
            store.users.set_password(user.id, passwords.make_hash(body.password))
        changes = [f"role {body.role}"] if body.role is not None else []
        changes += ["a new password"] if body.password is not None else []
        said = f"User changed: {user.email} ({', '.join(changes)})"
        reply(resp, _public(find(store, user_id)), said)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Remove the account with its grants and tokens, and end its sessions."""
        check_origin(req)
        require_admin(req)
        store = services(req).store
        user = find(store, user_id)
        store.users.remove(user.id)
        reply(resp, None, f"User removed: {user.email}")


def find(store: Store, text: str) -> User:
    """Return the user with this id or email address, or raise NotFound."""
    number = parse_id(text)
    user = store.users.get(number) if number else store.users.by_email(text)
    if user is None:
        raise NotFound("User not found")
    return user


def _public(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "email": user.email,
        "role": user.role,
        "created_at": user.created_at,
        "must_change_password": user.one_time,
    }
