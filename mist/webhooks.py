"""The webhooks of GitHub, GitLab, Gitea and Forgejo: signatures and events, without I/O.

The rules are those of the providers' documentation: "Validating webhook deliveries"
(GitHub), "Webhooks" (GitLab: "Validate payloads by using a secret token"), and "Webhooks"
(Gitea, Forgejo).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qs

import msgspec

from mist.errors import UsageError

Header = Callable[[str], str | None]

_FORM: Final = "application/x-www-form-urlencoded"
_BRANCH: Final = "refs/heads/"
_PUSHES: Final = frozenset({"push", "Push Hook"})
_PING: Final = "ping"


class Provider(NamedTuple):
    """The headers of one provider; ``deliveries`` hold the delivery's id, the best one first."""

    name: str
    signature: str
    prefix: str
    event: str
    deliveries: tuple[str, ...]

    @property
    def sends_secret(self) -> bool:
        """Return True if the header holds the secret itself instead of a signature."""
        return self.name == "GitLab"

    @property
    def signs_payload(self) -> bool:
        """Return True if the signature of a form covers its field ``payload`` alone."""
        return self.name in {"Gitea", "Forgejo"}


# Forgejo also sends Gitea's headers, and both send GitHub's, so the order counts.
_PROVIDERS: Final = (
    Provider("Forgejo", "X-Forgejo-Signature", "", "X-Forgejo-Event", ("X-Forgejo-Delivery",)),
    Provider("Gitea", "X-Gitea-Signature", "", "X-Gitea-Event", ("X-Gitea-Delivery",)),
    Provider("GitHub", "X-Hub-Signature-256", "sha256=", "X-GitHub-Event", ("X-GitHub-Delivery",)),
    # A retry has the same Idempotency-Key.  GitLab before 17.4 sends only the UUID.
    Provider(
        "GitLab",
        "X-Gitlab-Token",
        "",
        "X-Gitlab-Event",
        ("Idempotency-Key", "X-Gitlab-Event-UUID"),
    ),
)


class Ignored(NamedTuple):
    """A genuine delivery that leads to no deployment, and why."""

    reason: str
    ping: bool = False


class Push(NamedTuple):
    """A push to the branch of the application."""

    branch: str


class _Repository(msgspec.Struct, frozen=True):
    default_branch: str | None = None


class _Event(msgspec.Struct, frozen=True):
    """The fields of a push event that count; GitLab calls the repository ``project``."""

    ref: str = ""
    after: str = ""
    deleted: bool = False
    repository: _Repository | None = None
    project: _Repository | None = None

    @property
    def default_branch(self) -> str | None:
        repositories = [each for each in (self.project, self.repository) if each is not None]
        return next((r.default_branch for r in repositories if r.default_branch), None)


class Delivery:
    """One request of a provider, whose ``provider`` is None if no header of one is present."""

    def __init__(self, header: Header, body: bytes) -> None:
        self.provider = next((p for p in _PROVIDERS if header(p.signature) is not None), None)
        self._header = header
        self._body = body
        self._is_form = (header("Content-Type") or "").partition(";")[0].strip().lower() == _FORM

    @property
    def digest(self) -> str:
        """The digest of the delivery's id; without one, that of the body."""
        assert self.provider is not None
        for name in self.provider.deliveries:
            if value := self._header(name):
                # The id is an arbitrary text of any length.
                return hashlib.sha256(f"{self.provider.name} {value}".encode()).hexdigest()
        return hashlib.sha256(self._body).hexdigest()

    def signed_with(self, secret: str) -> bool:
        """Return True if the sender knows the secret; in constant time for bodies of a length."""
        provider, key = self.provider or _PROVIDERS[-2], secret.encode()
        given = (self._header(provider.signature) or "").encode(errors="replace")
        if provider.sends_secret:
            return hmac.compare_digest(given, key)
        matches = [
            hmac.compare_digest(given, f"{provider.prefix}{_signature(key, text)}".encode())
            for text in self._signed(provider)
        ]
        return any(matches)

    def read(self, branch: str | None) -> Push | Ignored:
        """Return what the delivery says about a branch; None is the repository's default branch.

        Raise UsageError if the body is not valid.
        """
        assert self.provider is not None
        name = self._header(self.provider.event) or ""
        if name == _PING:
            return Ignored("Pong: pushes will be deployed", ping=True)
        if name not in _PUSHES:
            return Ignored(f"The event {name[:80]!r} is not a push")
        return _push(self._event(), branch)

    def _event(self) -> _Event:
        try:
            return msgspec.json.decode(self._payload(), type=_Event)
        # Nested brackets exhaust the decoder's stack.
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"The event is not valid: {error}") from None

    def _signed(self, provider: Provider) -> Iterator[bytes]:
        yield self._body
        if self._is_form and provider.signs_payload:
            yield self._payload()

    def _payload(self) -> bytes:
        """Return the JSON document, which a form has in its field ``payload``."""
        if not self._is_form:
            return self._body
        try:
            fields = parse_qs(self._body.decode(), max_num_fields=10)
        except ValueError:  # too many fields, or not UTF-8
            return b""
        return fields.get("payload", [""])[0].encode(errors="replace")


def _push(event: _Event, branch: str | None) -> Push | Ignored:
    if not event.ref.startswith(_BRANCH):
        return Ignored(f"{event.ref[:200]!r} is not a branch")
    pushed, wanted = event.ref.removeprefix(_BRANCH), branch or event.default_branch
    if wanted is None:
        return Ignored("The event does not name the default branch; set the branch to deploy")
    if pushed != wanted:
        return Ignored(f"The branch {pushed[:200]!r} is not {wanted[:200]!r}")
    if event.deleted or (event.after and not event.after.strip("0")):
        return Ignored(f"The branch {pushed[:200]!r} was deleted")
    return Push(pushed)


def _signature(key: bytes, text: bytes) -> str:
    return hmac.new(key, text, hashlib.sha256).hexdigest()
